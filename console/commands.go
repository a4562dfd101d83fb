package console

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
)

// The console acts on nothing. Where an act would help, the page shows the command for somebody who may.

// command is a command to be copied.
type command struct{ Does, Text string }

// shell quotes a word for a POSIX shell if it has to be, so that nothing from outside becomes a command.
func shell(word string) string {
	plain := word != ""
	for _, c := range word {
		plain = plain && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_./:@=-", c))
	}
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func target(app, tenant string, connection *int32) string {
	var b strings.Builder
	if app != "" {
		b.WriteString(" --app " + shell(app))
	}
	if tenant != "" {
		b.WriteString(" --tenant " + shell(tenant))
	}
	if connection != nil {
		b.WriteString(" --connection " + strconv.Itoa(int(*connection)))
	}
	return b.String()
}

func holdCommand(app, tenant string, connection *int32) command {
	return command{"Hold new calls, such as while the ERP is being mended", "caddy erpsync hold" + target(app, tenant, connection) + " --reason 'ERP is being mended' --for 2h"}
}

func releaseCommand(h report.HoldStatus) string {
	if h.App == "" && h.Tenant == "" && h.Connection == nil {
		return "caddy erpsync release --all"
	}
	return "caddy erpsync release" + target(h.App, h.Tenant, h.Connection)
}

func retryCommand(group int64) command {
	return command{"See what repeating it would do, once the cause is gone; --yes carries it out", fmt.Sprintf("caddy erpsync retry %d", group)}
}

func closeCommand(group int64) command {
	return command{"Take it for settled, if somebody has looked", fmt.Sprintf("caddy erpsync failures close %d --reason 'looked in SuperOffice'", group)}
}

func holdViews(holds []report.HoldStatus) (views []holdView) {
	for _, hold := range holds {
		views = append(views, holdView{hold, releaseCommand(hold)})
	}
	return views
}
