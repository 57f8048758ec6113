/** OpenAI's error objects, by status. */
import type { Script } from './script.ts';

interface ErrorShape {
  readonly type: string;
  readonly code: string;
  readonly param: string;
  readonly message: string;
}

const ERRORS: Readonly<Record<number, ErrorShape>> = {
  400: { type: 'invalid_request_error', code: '', param: 'messages', message: "Invalid value for 'messages'." },
  401: { type: 'invalid_request_error', code: 'invalid_api_key', param: '', message: 'Incorrect API key provided.' },
  403: {
    type: 'invalid_request_error',
    code: 'unsupported_country_region_territory',
    param: '',
    message: 'Country, region, or territory not supported.',
  },
  404: {
    type: 'invalid_request_error',
    code: 'model_not_found',
    param: '',
    message: 'The model does not exist or you do not have access to it.',
  },
  408: { type: 'server_error', code: '', param: '', message: 'Request timed out.' },
  409: { type: 'invalid_request_error', code: 'conflict', param: '', message: 'Conflict.' },
  413: { type: 'invalid_request_error', code: 'request_too_large', param: '', message: 'Request too large.' },
  415: { type: 'invalid_request_error', code: '', param: '', message: 'Unsupported content type.' },
  422: { type: 'invalid_request_error', code: '', param: 'messages', message: 'Unprocessable entity.' },
  429: { type: 'requests', code: 'rate_limit_exceeded', param: '', message: 'Rate limit reached for requests.' },
  500: {
    type: 'server_error',
    code: '',
    param: '',
    message: 'The server had an error while processing your request. Sorry about that!',
  },
  502: { type: 'server_error', code: '', param: '', message: 'Bad gateway.' },
  503: {
    type: 'server_error',
    code: '',
    param: '',
    message: 'The engine is currently overloaded, please try again later.',
  },
  504: { type: 'server_error', code: '', param: '', message: 'Gateway timeout.' },
};

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

export const reasonOf = (status: number): string => REASONS[status] ?? 'Unknown';

const orNull = (text: string): string | null => (text === '' ? null : text);

/** `{"error":{message,type,param,code}}` as JSON; the script's `emsg`, `etype`, `eparam`, `ecode` win over the table. */
export function errorJson(status: number, script?: Script, message?: string): string {
  const shape = ERRORS[status] ?? {
    type: status < 500 ? 'invalid_request_error' : 'server_error',
    code: '',
    param: '',
    message: reasonOf(status),
  };
  return JSON.stringify({
    error: {
      message: script?.emsg ?? message ?? shape.message,
      type: script?.etype ?? shape.type,
      param: orNull(script?.eparam ?? shape.param),
      code: orNull(script?.ecode ?? shape.code),
    },
  });
}
