import { GatewayError } from '../../../shared/errors.ts';

/** What is wrong with one field; `param` as `on_limit.downgrade` or `models[2]`. */
export interface FieldError {
  readonly param: string;
  readonly message: string;
}

/** A request with faults, all of them named at once. */
export class InvalidFields extends GatewayError {
  readonly errors: readonly FieldError[];

  constructor(errors: readonly [FieldError, ...FieldError[]]) {
    const [first] = errors;
    const more = errors.length === 1 ? '' : ` (and ${errors.length - 1} more, in \`errors\`)`;
    super('invalid_request', `\`${first.param}\`: ${first.message}${more}`, { param: first.param });
    this.errors = errors;
  }
}

/** The faults that an error names: of its fields, if it is about any. */
export function fieldErrorsOf(error: GatewayError): readonly FieldError[] | undefined {
  if (error instanceof InvalidFields) return error.errors;
  return error.param === undefined ? undefined : [{ param: error.param, message: error.message }];
}
