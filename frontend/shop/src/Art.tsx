/** Drawings of the sample shop's products, and a tile for any other one. */

import type { CatalogueItem } from "@holdfast/checkout";
import type { ReactNode } from "react";

/** By the end of the product's id. Classes: `a` paper, `b` accent, `c` sea, `l` a line without filling. */
const DRAWINGS: Record<string, ReactNode> = {
  mug: (
    <>
      <path className="l" d="M66 24c0-7 6-6 6-13M82 24c0-7 6-6 6-13" />
      <path className="a" d="M102 50h8a15 15 0 0 1 0 30h-8" />
      <path className="a" d="M48 36h54v52a10 10 0 0 1-10 10H58a10 10 0 0 1-10-10z" />
      <path className="b" d="M48 58h54v16H48z" />
    </>
  ),
  notebook: (
    <>
      <path className="c" d="M56 26h56a4 4 0 0 1 4 4v72H56z" />
      <path className="b" d="M46 18h58a4 4 0 0 1 4 4v72a4 4 0 0 1-4 4H46z" />
      <path className="a" d="M64 34h32v18H64z" />
      <path className="l" d="M56 18v80M70 43h20" />
    </>
  ),
  tote: (
    <>
      <path className="l" d="M62 50V32a18 18 0 0 1 36 0v18" />
      <path className="a" d="M46 44h68l8 58H38z" />
      <circle className="b" cx="80" cy="62" r="5" />
      <path className="l" d="M80 67v25M71 74h18M63 80c2 16 32 16 34 0" />
    </>
  ),
  poster: (
    <>
      <path className="c" d="M36 14h88v92H36z" />
      <path className="a" d="M36 62c14-10 18 4 30-6s8-26 26-24 16-18 32-18H36z" />
      <path
        className="l"
        d="M36 76c18-10 24 2 38-8s10-24 26-22 14-14 24-16M36 92c22-8 32 0 46-10s12-22 26-20 10-8 16-10"
      />
      <path className="l" d="M36 14h88v92H36z" />
      <circle className="b" cx="96" cy="84" r="8" />
    </>
  ),
  coffee: (
    <>
      <path className="a" d="M54 30h52l6 16v58H48V46z" />
      <path className="c" d="M54 14h52v16H54z" />
      <path className="l" d="M48 46h64" />
      <circle className="b" cx="80" cy="74" r="16" />
      <path className="l" d="M74 85c-4-12 16-10 12-22" />
    </>
  ),
  filters: (
    <>
      <path className="c" d="M52 22h72l-14 62H66z" />
      <path className="a" d="M36 34h72L94 98H50z" />
      <path className="l" d="M36 34h72M54 34l6 64M72 34v64M90 34l-6 64" />
      <path className="b" d="M46 80h52l-4 18H50z" />
    </>
  ),
  almanac: (
    <>
      <path className="c" d="M44 16h68a6 6 0 0 1 6 6v82H50a6 6 0 0 1-6-6z" />
      <path className="a" d="M118 92v12H50a6 6 0 0 1 0-12z" />
      <circle className="b" cx="72" cy="48" r="13" />
      <path className="a" d="M101 36a14 14 0 1 0 6 22 12 12 0 0 1-6-22z" />
      <path className="l" d="M56 76c6-6 10-6 16 0s10 6 16 0 10-6 16 0" />
    </>
  ),
  gazette: (
    <>
      <path className="c" d="M104 36h16v60a8 8 0 0 1-16 0z" />
      <path className="a" d="M40 18h64v78a8 8 0 0 0 8 8H48a8 8 0 0 1-8-8z" />
      <path className="b" d="M50 48h20v20H50z" />
      <path className="l" d="M50 34h44M80 50h14M80 59h14M80 68h14M50 80h44M50 89h30" />
    </>
  ),
};

export function Art({ item }: { item: Pick<CatalogueItem, "productId" | "name" | "imageUrl"> }) {
  if (item.imageUrl) return <img className="art" src={item.imageUrl} alt="" width="320" height="240" loading="lazy" />;
  const drawing = DRAWINGS[item.productId.split("_").at(-1) ?? ""];
  return (
    <svg className="art" viewBox="0 0 160 120" width="320" height="240" aria-hidden="true">
      {drawing ?? <Flag name={item.name} />}
    </svg>
  );
}

const FLAGS = [
  ["a", "M40 24h40v72H40z", "b", "M80 24h40v72H80z"],
  ["b", "M40 24h80v72H40z", "c", "M40 48h80v24H40z"],
  ["c", "M40 24h80v72H40z", "a", "M60 42h40v36H60z"],
  ["a", "M40 24h80L40 96z", "b", "M120 24v72H40z"],
  ["b", "M40 24h80v72H40z", "a", "M80 24l40 36-40 36-40-36z"],
] as const;

/** Signal flag with the first letter of a name; the same name gets the same flag. */
function Flag({ name }: { name: string }) {
  const sum = [...name].reduce((total, letter) => total + (letter.codePointAt(0) ?? 0), 0);
  const [first, d1, second, d2] = FLAGS[sum % FLAGS.length] ?? FLAGS[0];
  return (
    <>
      <path className={first} d={d1} />
      <path className={second} d={d2} />
      <circle className="a" cx="80" cy="60" r="17" />
      <text x="80" y="68" textAnchor="middle">
        {[...name][0]?.toUpperCase()}
      </text>
    </>
  );
}
