-- Lets a call through whose JWT is signed with the shared secret (HS256), is not over, and is about the tenant of its path.
-- Debian has no library for it: the signature is OpenSSL's, which nginx is linked with.
local ffi = require "ffi"
local cjson = require "cjson.safe"

local function refuse()
	return ngx.exit(ngx.HTTP_UNAUTHORIZED)
end

local function unpack64(text)
	text = text:gsub("-", "+"):gsub("_", "/")
	return ngx.decode_base64(text .. ("="):rep(-#text % 4))
end

ffi.cdef [[
	const void *EVP_sha256(void);
	unsigned char *HMAC(const void *md, const void *key, int key_len, const unsigned char *d, size_t n, unsigned char *out, unsigned int *len);
	int CRYPTO_memcmp(const void *a, const void *b, size_t len);
]]

local secret = "{secret}"
local out, length = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")

return function()
	local given = ngx.var.http_authorization
	local head, payload, signature = (given or ""):match("^Bearer ([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
	if not head then
		return refuse()
	end
	local header = cjson.decode(unpack64(head) or "")
	if type(header) ~= "table" or header.alg ~= "HS256" then
		return refuse()
	end
	local signed = head .. "." .. payload
	ffi.C.HMAC(ffi.C.EVP_sha256(), secret, #secret, signed, #signed, out, length)
	local proof = unpack64(signature)
	if not proof or #proof ~= 32 or ffi.C.CRYPTO_memcmp(out, proof, 32) ~= 0 then
		return refuse()
	end
	local claims = cjson.decode(unpack64(payload) or "")
	if type(claims) ~= "table" or claims.iss ~= "{issuer}" or claims.aud ~= "{audience}" or type(claims.exp) ~= "number" or claims.exp <= ngx.time() then
		return refuse()
	end
	if claims.tenant ~= ngx.var.uri:match("^/([^/]+)/") then
		return ngx.exit(ngx.HTTP_FORBIDDEN)
	end
end
