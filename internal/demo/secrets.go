package demo

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/caddy-erpsync/caddy-erpsync/sandbox"
)

// WriteSecrets writes what Caddyfile.example reads: the apps' secrets, the
// tenants file and the provider's keys, readable by the user alone.
func WriteSecrets(dir string, so *sandbox.Sandbox, provider *Provider) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	portal, erp, quote := so.App("portal"), so.App("erp"), so.App("quote")
	var tenants []map[string]any
	for _, tenant := range so.Tenants() {
		tenants = append(tenants, map[string]any{"tenant": tenant, "name": "Sandbox " + tenant, "system_token": so.SystemToken("erp", tenant)})
	}
	file, err := json.MarshalIndent(map[string]any{"tenants": tenants}, "", "\t")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"portal.client_id": []byte(portal.ClientID), "portal.client_secret": []byte(portal.ClientSecret),
		"erp.client_id": []byte(erp.ClientID), "erp.client_secret": []byte(erp.ClientSecret), "erp.private_key": erp.KeyXML(),
		"quote.client_id": []byte(quote.ClientID), "quote.client_secret": []byte(quote.ClientSecret), "quote.private_key": quote.KeyPEM(),
		"tenants.json": file, "jwks.json": provider.JWKS(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
