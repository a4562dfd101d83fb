package main

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-erpsync/caddy-erpsync/auth"
	"github.com/caddy-erpsync/caddy-erpsync/auth/idp"
	"github.com/caddy-erpsync/caddy-erpsync/auth/superid"
	"github.com/caddy-erpsync/caddy-erpsync/auth/systemuser"
	"github.com/caddy-erpsync/caddy-erpsync/superoffice"
)

func TestTheGatewayTakesTheTicketsOfTheFixedUpstream(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{key: key}
	server := httptest.NewServer(u)
	defer server.Close()
	u.job.Addr = strings.TrimPrefix(server.URL, "http://")
	environment, err := superoffice.NewEnvironment(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := systemuser.Client{
		Environment: environment, AppToken: func() auth.Secret { return auth.NewSecret("app") }, PrivateKey: func() (*rsa.PrivateKey, error) { return key, nil },
		HTTP: http.DefaultClient, Keys: superid.NewKeySet(environment, http.DefaultClient, idp.Observer{}, nil),
	}
	ticket, err := client.Mint(t.Context(), "Cust10000", auth.NewSecret("system"))
	if err != nil || ticket.API != server.URL+"/Cust10000/api" {
		t.Errorf("%q %v", ticket.API, err)
	}
}
