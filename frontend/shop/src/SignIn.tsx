/** Sign-in slot of the header. */
export function SignIn() {
  return null;
}
