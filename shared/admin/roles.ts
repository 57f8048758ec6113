import type { Role } from '../messages/key.ts';

/** Who may do what, by kind of operation. A `team_admin` may as far as its own team goes. */
export const MANAGERS = ['owner', 'admin'] as const satisfies readonly Role[];
export const TEAM_MANAGERS = ['owner', 'admin', 'team_admin'] as const satisfies readonly Role[];
/** Of what is beyond any one team. */
export const WIDE_READERS = ['owner', 'admin', 'viewer'] as const satisfies readonly Role[];
export const READERS = ['owner', 'admin', 'viewer', 'team_admin'] as const satisfies readonly Role[];
