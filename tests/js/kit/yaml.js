// YAML for suites in folders that have no packages of their own.
export { parse, parseAllDocuments, stringify } from "yaml"
