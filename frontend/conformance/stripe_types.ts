/**
 * Prints the types that npm's `stripe` publishes as JSON schemas: one definition for each type, the objects by the value
 * of their field `object`, and the object of each type of event. The simulator's conformance test compares with them.
 *
 *     node frontend/conformance/stripe_types.ts invoice subscription charge
 *
 * prints those kinds of objects, and all that they refer to.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The part of JSON Schema that the published types need. */
export type Schema =
  | { type: "string" | "number" | "boolean" | "null" }
  | { type: "array"; items: Schema }
  | {
      type: "object";
      properties: Record<string, Schema>;
      required: string[];
      additionalProperties: Schema | false;
    }
  | { enum: (string | number | boolean)[] }
  | { anyOf: Schema[] }
  | { $ref: string }
  | Record<string, never>;

const folder = fileURLToPath(new URL("../node_modules/stripe/esm", import.meta.url));

/** Collects the definitions of the types that it converts. */
class Definitions {
  readonly schemas: Record<string, Schema> = {};
  readonly #checker: ts.TypeChecker;
  readonly #names = new Map<ts.Type, string>();

  constructor(checker: ts.TypeChecker) {
    this.#checker = checker;
  }

  /** Returns the schema of a type. An object becomes a reference to its definition. */
  convert(type: ts.Type): Schema {
    if (type.aliasSymbol?.name === "Decimal") return { type: "string" };
    if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) return {};
    if (type.flags & ts.TypeFlags.Null) return { type: "null" };
    if (type.flags & ts.TypeFlags.Boolean) return { type: "boolean" };
    if (type.flags & ts.TypeFlags.String) return { type: "string" };
    if (type.flags & (ts.TypeFlags.Number | ts.TypeFlags.BigInt)) return { type: "number" };
    if (type.isStringLiteral() || type.isNumberLiteral()) return { enum: [type.value] };
    if (type.flags & ts.TypeFlags.BooleanLiteral) return { enum: [this.#checker.typeToString(type) === "true"] };
    if (type.isUnion()) return this.#union(type);
    if (isOtherString(type)) return { type: "string" };
    if (this.#checker.isArrayType(type)) {
      const [items] = this.#checker.getTypeArguments(type as ts.TypeReference);
      return { type: "array", items: items ? this.convert(items) : {} };
    }
    return this.#reference(type);
  }

  /** Merges literals to one `enum`. The `OtherString` beside them only says that Stripe may add some later. */
  #union(type: ts.UnionType): Schema {
    const parts = type.types.filter((part) => !(part.flags & ts.TypeFlags.Undefined));
    const literals = parts.filter((part) => part.isStringLiteral()).map((part) => part.value);
    const others = parts.filter((part) => !part.isStringLiteral() && !(literals.length > 0 && isOtherString(part)));
    const schemas = distinct(others.map((part) => (isBoolean(part) ? { type: "boolean" } : this.convert(part))));
    if (literals.length > 0) schemas.unshift({ enum: literals });
    return schemas.length === 1 && schemas[0] ? schemas[0] : { anyOf: schemas };
  }

  #reference(type: ts.Type): Schema {
    const known = this.#names.get(type);
    if (known) return { $ref: known };
    // `deleted?: void` tells an object from what is left of a deleted one.
    const properties = this.#checker.getPropertiesOfType(type).filter((each) => !this.#isVoid(each));
    const values = this.#checker.getIndexInfosOfType(type)[0]?.type;
    if (!(type.flags & ts.TypeFlags.Object)) return {};
    const name = this.#name(type);
    this.#names.set(type, name);
    const schema = {
      type: "object" as const,
      properties: {} as Record<string, Schema>,
      required: properties.filter((each) => !(each.flags & ts.SymbolFlags.Optional)).map((each) => each.name),
      // Of an interface without fields only that it is an object is known.
      additionalProperties: values ? this.convert(values) : properties.length === 0 && {},
    };
    this.schemas[name] = schema;
    for (const each of properties) schema.properties[each.name] = this.convert(this.#checker.getTypeOfSymbol(each));
    return { $ref: name };
  }

  #isVoid(property: ts.Symbol): boolean {
    const type = this.#checker.getTypeOfSymbol(property);
    const absent = ts.TypeFlags.Void | ts.TypeFlags.Undefined;
    return (type.isUnion() ? type.types : [type]).every((part) => Boolean(part.flags & absent));
  }

  /** Names a definition as Stripe does, with its file where two files have a type of one name. */
  #name(type: ts.Type): string {
    const file = type.symbol.declarations?.[0]?.getSourceFile().fileName ?? "";
    const qualified = this.#checker.typeToString(type, undefined, ts.TypeFormatFlags.UseFullyQualifiedType);
    const short = qualified.replaceAll(/import\([^)]*\)\./g, "");
    const taken = new Set(this.#names.values());
    for (const name of [short, `${file.slice(folder.length + 1)}#${short}`]) if (!taken.has(name)) return name;
    return `${short}@${taken.size}`;
  }
}

function isOtherString(type: ts.Type): boolean {
  return type.isIntersection() && type.types.some((part) => Boolean(part.flags & ts.TypeFlags.String));
}

function isBoolean(type: ts.Type): boolean {
  return Boolean(type.flags & ts.TypeFlags.BooleanLiteral);
}

function distinct(schemas: Schema[]): Schema[] {
  return [...new Map(schemas.map((schema) => [JSON.stringify(schema), schema])).values()];
}

function literalOf(checker: ts.TypeChecker, type: ts.Type, field: string): string | undefined {
  const symbol = type.getProperty(field);
  const value = symbol && checker.getTypeOfSymbol(symbol);
  return value?.isStringLiteral() ? value.value : undefined;
}

function fieldOf(schemas: Record<string, Schema>, name: string, field: string): Schema | undefined {
  const schema = schemas[name];
  return schema && "properties" in schema ? schema.properties[field] : undefined;
}

function main(kinds: string[]): void {
  const files = readdirSync(join(folder, "resources"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".d.ts") && !file.startsWith("V2"))
    .map((file) => join(folder, "resources", file));
  const program = ts.createProgram([...files, join(folder, "Types.d.ts")], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es5.d.ts"],
    module: ts.ModuleKind.NodeNext,
  });
  const checker = program.getTypeChecker();
  const definitions = new Definitions(checker);
  const objects: Record<string, Schema[]> = {};
  const events: Record<string, Schema> = {};
  let error: Schema = {};
  for (const source of program.getSourceFiles()) {
    if (!source.fileName.startsWith(folder)) continue;
    const module = checker.getSymbolAtLocation(source);
    for (const exported of module ? checker.getExportsOfModule(module) : []) {
      if (exported.flags & ts.SymbolFlags.Alias) continue;
      const type = checker.getDeclaredTypeOfSymbol(exported);
      if (exported.name === "StripeRawError") error = definitions.convert(type);
      const event = exported.name.endsWith("Event") ? literalOf(checker, type, "type") : undefined;
      const kind = literalOf(checker, type, "object");
      if (event) events[event] = definitions.convert(type);
      else if (kind && (kinds.length === 0 || kinds.includes(kind))) {
        objects[kind] = [...(objects[kind] ?? []), definitions.convert(type)];
      }
    }
  }
  const { version } = JSON.parse(readFileSync(join(folder, "../package.json"), "utf8")) as { version: string };
  const apiVersion = readFileSync(join(folder, "apiVersion.js"), "utf8").match(/ApiVersion = ['"](.*?)['"]/)?.[1];
  process.stdout.write(
    JSON.stringify({
      version,
      api_version: apiVersion,
      objects,
      events,
      error,
      error_codes: fieldOf(definitions.schemas, "PaymentIntent.LastPaymentError", "code"),
      definitions: definitions.schemas,
    }),
  );
}

main(process.argv.slice(2));
