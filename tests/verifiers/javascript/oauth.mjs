// The code flow as oauth4webapi does it, which checks every answer against the RFCs. It knows the issuer, its client id and
// secret. Prints the URL for the person, reads the one that the person was sent back to, then prints what it found.
import { createInterface } from 'node:readline/promises'
import * as oauth from 'oauth4webapi'

const given = JSON.parse(process.argv[2])
const plain = { [oauth.allowInsecureRequests]: true } // loopback
const issuer = new URL(given.issuer)
const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...plain })
const server = await oauth.processDiscoveryResponse(issuer, found)
const client = { client_id: given.client_id }
const authentication = given.client_secret ? oauth.ClientSecretBasic(given.client_secret) : oauth.None()

const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const url = new URL(server.authorization_endpoint)
for (const [name, value] of Object.entries({
  client_id: client.client_id, redirect_uri: given.redirect_uri, response_type: 'code', scope: 'read', state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})) url.searchParams.set(name, value)
console.log(url.href)
const back = new URL(await createInterface({ input: process.stdin }).question(''))

const parameters = oauth.validateAuthResponse(server, client, back, state) // iss too (RFC 9207)
const answer = await oauth.authorizationCodeGrantRequest(
  server, client, authentication, parameters, given.redirect_uri, verifier, plain)
const tokens = await oauth.processAuthorizationCodeResponse(server, client, answer)

const asked = async (token) => (await oauth.protectedResourceRequest(
  token, 'GET', new URL('/api/v1/subscriptions', issuer), undefined, null, plain)
  .catch((error) => error.response ?? Promise.reject(error))).status
const before = await asked(tokens.access_token)

const refreshed = await oauth.processRefreshTokenResponse(server, client,
  await oauth.refreshTokenGrantRequest(server, client, authentication, tokens.refresh_token, plain))
let active = null
if (given.client_secret) {
  active = (await oauth.processIntrospectionResponse(server, client,
    await oauth.introspectionRequest(server, client, authentication, refreshed.access_token, plain))).active
}
const claims = await oauth.validateJwtAccessToken(server, new Request(new URL('/api/v1/subscriptions', issuer), {
  headers: { authorization: `Bearer ${refreshed.access_token}` },
}), given.audience, plain) // RFC 9068
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, authentication, refreshed.refresh_token, plain))
const after = await asked(refreshed.access_token)
console.log(JSON.stringify({ before, after, active, client_id: claims.client_id, scope: claims.scope }))
