// The services that the tests ask: `make clients` starts them over a small shop and says where they are.

import process from "node:process";

function stated(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run \`make clients\``);
  return value;
}

/** Anybody may search and write here. */
export const OPEN = stated("CATALENS_URL");

/** Without KEY one may only search, twice a second. */
export const GUARDED = stated("CATALENS_GUARDED_URL");
export const KEY = stated("CATALENS_KEY");
