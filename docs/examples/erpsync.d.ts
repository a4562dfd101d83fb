// Types of window.erpsync, which {prefix}/panel.js brings. Copy this file into your page's sources.

/** What became of a call. */
export type Outcome =
	| "ok" | "info" | "warning" // SuperOffice says that it succeeded
	| "error" // it says that the resync failed
	| "contradictory" | "masked" | "empty" | "unreadable" | "fault" // see the gateway's audit line
	| "accepted" // a batch task: SuperOffice does not report its outcome
	| "unreachable" // nothing was sent
	| "unknown" // it may have run: look in SuperOffice before you send it again
	| "refused" // the gateway did not send it; reason says why
	| "dry_run"; // nothing was sent; it would have been

export interface Session {
	/** The path before an operation's name, to which calls go. */
	agent: string;
	app: string;
	tenant: string;
	user: string;
	associate_id: number;
	/** RFC 3339. */
	expires: string;
	xsrf: string;
}

export interface CallOptions {
	/** One for each call that is meant, the same for every attempt at it: crypto.randomUUID(). */
	idempotencyKey?: string;
	/** Say what would happen and send nothing; "ask" also asks SuperOffice whether the connection is there and active. */
	dryRun?: boolean | "ask";
	/** A resync of everything is meant. */
	confirm?: boolean;
}

export interface Result {
	/** SuperOffice says that it succeeded, or a dry run that it would be sent. An accepted batch task is not known to have succeeded. */
	ok: boolean;
	outcome: Outcome;
	/** For people: SuperOffice's own sentence, or the gateway's; "" where there is none. */
	explanation: string;
	/** In the gateway's audit log; null where no answer came. */
	requestId: string | null;
	/** The request whose answer this is, where it is given again for an idempotencyKey. */
	replayed: string | null;
	/** The HTTP status; 0 where no answer came. */
	status: number;
	/** Why the gateway refused: a code of the table of refusals. */
	reason: string | null;
	/** The request for which this one is refused. */
	running: string | null;
	/** Seconds until trying again makes sense. */
	retryAfter: number | null;
	/** Where to sign in. */
	signIn: string | null;
	/** The whole answer: a PluginResponse, a problem document, a dry run's; null where it is not JSON. */
	answer: any;
}

/** What is looked up: through which connection, and one of the others. */
export interface Question {
	connection: number;
	/** The number in the ERP system, whole. */
	erp?: string;
	/** An internal key. */
	key?: number;
	/** The id of a company in the CRM, such as the one that is open. */
	contact?: number;
	person?: number;
	project?: number;
	/** How a company's name begins. */
	name?: string;
	/** How many at most: 1 to 100; of a name 1 to 10. */
	limit?: number;
	/** The next of the page before. */
	after?: number;
}

export interface Found {
	question: "erp" | "key" | "contact" | "person" | "project" | "name";
	connection: number;
	/** Empty: there is none. */
	found: {
		erp_key?: string;
		/** As InternalKeyIds takes it. None: the company is not synchronised through the connection. */
		key?: number;
		record: { table_id: number; table?: "contact" | "person" | "project"; id: number };
		actor_type?: number;
		/** The company's, if it was found by name. */
		name?: string;
	}[];
	/** Where the next page begins. */
	next?: number;
	/** What the answer takes for granted. */
	inferred: string;
}

/** Why nobody was signed in. */
export interface SignInError extends Error {
	/** sign_in_declined, sign_in_unavailable, tenant_not_granted, popup_closed, popup_blocked, cookies_blocked, …; none where the gateway refused the hand-over. */
	ending?: string;
	/** A code of the table of refusals, where the gateway or SuperID refused. */
	reason?: string;
}

export interface ErpSync {
	/** Who is signed in; null: nobody. */
	session(): Promise<Session | null>;
	/** Signs in in a pop-up; call it from a click. Rejects with a SignInError if nobody was signed in. */
	signIn(): Promise<Session>;
	/** Resolves at the end of the call, which may be minutes later, whatever became of it; no time-out on the way cuts it off. Rejects where nobody is signed in. */
	call(operation: string, body?: object, options?: CallOptions): Promise<Result>;
	/** Which internal keys something has. Needs lookups on. Rejects, with the reason, where the look-up was refused or failed, or nobody is signed in. */
	find(question: Question): Promise<Found>;
	signOut(): Promise<{ sign_out: string; sessions_ended?: number; refresh_tokens_revoked: number } | null>;
}

declare global {
	const erpsync: ErpSync;
	interface Window {
		erpsync: ErpSync;
	}
}
