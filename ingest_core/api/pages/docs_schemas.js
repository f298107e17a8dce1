// Shows JSON schemas (2020-12) as tables.

import { el } from "./dom.js";

const LIMITS = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "format", "default"];

/** A schema's type in a word, as a node; names link to their table. */
export function typeOf(schema) {
  if (schema === undefined || schema === true) return el("span", {}, "anything");
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return el("a", { href: `#schema-${name}` }, name);
  }
  const several = schema.anyOf || schema.oneOf || schema.allOf;
  if (several) return el("span", {}, ...several.flatMap((one, at) => [at ? " or " : "", typeOf(one)]));
  if (schema.const !== undefined) return el("code", {}, JSON.stringify(schema.const));
  if (schema.enum) return el("span", {}, ...schema.enum.flatMap((one, at) => [at ? ", " : "", el("code", {}, JSON.stringify(one))]));
  if (schema.type === "array") return el("span", {}, "list of ", typeOf(schema.items));
  return el("span", {}, [schema.type].flat().filter(Boolean).join(" or ") || "anything");
}

/** Its limits, and those of what it consists of: of one of several types, or of a list's elements. */
const limitsOf = schema => [schema, ...(schema.anyOf || []), schema.items || {}].flatMap(
  part => LIMITS.filter(name => part[name] !== undefined).map(name => `${name} ${JSON.stringify(part[name])}`),
).join(", ");

function propertyRow(name, schema, isRequired, codeIn) {
  return el("tr", {}, el("th", { scope: "row" }, el("code", {}, name), isRequired ? " *" : ""),
    el("td", { "data-head": "Type" }, typeOf(schema)), el("td", {}, ...codeIn(schema.description || ""), " ", el("small", {}, limitsOf(schema))));
}

/** The section of a named schema. */
export function schemaTable(name, schema, codeIn) {
  const properties = Object.entries(schema.properties || {});
  const required = schema.required || [];
  return el("section", { class: "schema", id: `schema-${name}` }, el("h3", {}, name),
    schema.description ? el("p", {}, ...codeIn(schema.description)) : null,
    properties.length
      ? el("div", { class: "scroll" }, el("table", {}, el("caption", { class: "hidden-text" }, `Fields of ${name}`),
        el("thead", {}, el("tr", {}, ...["Field", "Type", "Meaning"].map(head => el("th", { scope: "col" }, head)))),
        el("tbody", {}, ...properties.map(([key, value]) => propertyRow(key, value, required.includes(key), codeIn)))))
      : el("p", {}, typeOf(schema)));
}
