/**
 * The Kubernetes API's types as data, and what is done along them: reading JSON and protobuf bodies, defaults, validation, OpenAPI.
 * A door of its own, because the data is large: the API server and the command line enter by it, agents and pods do not.
 */
export { applyDefaults } from "../defaults/index.ts";
export { openApiDocument, openApiIndex } from "../openapi/index.ts";
export { type DecodedProtobuf, decodeProtobuf, isProtobuf, PROTOBUF_TYPE } from "../protobuf/index.ts";
export { API_RESOURCES, type ApiResource, type ApiSubresource } from "../served.ts";
export { type FieldError, type FieldErrorType, invalidStatus, validate } from "../validation/index.ts";
export { type Decoded, decodeObject, decodingErrorMessage, type FieldValidation, strictDecodingError } from "./decode.ts";
export { duplicateFields } from "./duplicates.ts";
export { type GroupVersionKind, schemaFor, typeSchema } from "./table.ts";
export type { FieldSchema, TypeSchema } from "./types.ts";
