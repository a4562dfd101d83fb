// A certified OpenID provider with SuperID's paths, claims and form of access tokens. It reads its settings from SETTINGS and tells when it listens.
import Provider from 'oidc-provider';

const settings = JSON.parse(process.env.SETTINGS);
const identity = 'http://schemes.superoffice.net/identity/';
const claims = {
	[identity + 'ctx']: 'Cust12345',
	[identity + 'associateid']: '7',
	[identity + 'upn']: 'tove@uno.example',
	[identity + 'is_administrator']: 'True',
};

const provider = new Provider(settings.issuer, {
	clients: [{
		client_id: 'app',
		client_secret: settings.secret,
		redirect_uris: settings.redirects,
		post_logout_redirect_uris: ['https://pages.example/bye'],
		grant_types: settings.grants,
		token_endpoint_auth_method: 'client_secret_post',
	}],
	jwks: { keys: settings.keys },
	cookies: { keys: [settings.cookieKey] },
	claims: { openid: ['sub', ...Object.keys(claims)] },
	conformIdTokenClaims: false,
	findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...claims }) }),
	pkce: { required: () => settings.pkce },
	rotateRefreshToken: settings.rotate,
	issueRefreshToken: () => settings.refresh,
	ttl: { AccessToken: 600, IdToken: 600, RefreshToken: 3600, Session: 3600, Grant: 3600, Interaction: 600 },
	features: { revocation: { enabled: true }, rpInitiatedLogout: { enabled: true }, devInteractions: { enabled: true } },
	routes: {
		authorization: '/login/common/oauth/authorize',
		token: '/login/common/oauth/tokens',
		revocation: '/login/common/oauth/revoke',
		jwks: '/login/.well-known/jwks',
		end_session: '/login/logout',
	},
});
// SuperOffice's access tokens name their tenant.
provider.use(async (ctx, next) => {
	await next();
	if (ctx.body?.access_token) {
		ctx.body.access_token = '8A:Cust12345.' + ctx.body.access_token;
	}
});
const server = provider.listen(settings.port, '127.0.0.1', () => console.log('listening'));
process.stdin.resume();
process.stdin.on('end', () => { server.close(); process.exit(0); }); // it ends with the test
