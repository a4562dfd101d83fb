package adminapi

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-erpsync/caddy-erpsync/gateway/report"
	"github.com/caddy-erpsync/caddy-erpsync/outcome"
)

// Message is the audit line's of an act.
const Message = "erpsync admin act"

// maxText bounds a text in a line, in bytes.
const maxText = 256

// maxTenants is how many tenants an act's line names.
const maxTenants = 100

// act is what somebody did over the admin API, as the audit line tells it.
type act struct {
	Act   string
	Actor Actor
	Node  string

	App, Environment, Tenant string
	User                     string
	Tenants                  []string // whose system tokens were kept or handed out
	Sessions                 *int     // that were ended
	Connection               *int32   // of a hold, a look-up or a failure
	Question                 string   // of a look-up
	Kind                     string   // of a sample of a notice
	Found                    *int     // matches of a look-up
	Group                    int64    // of failures; 0: none
	Retried                  *report.RetrySummary
	Removed                  *int   // calls of the history, or that would be
	All                      bool   // a hold of everything
	Reason, For              string // of a hold; of a closed failure why
	Unreadable               bool   // a release of what could not be read
	DryRun                   bool
	Nothing                  bool // nothing was changed
	Unknown                  bool // nobody is known by that name
	Failed                   string

	privacy outcome.Privacy
}

// MarshalLogObject writes the line's fields in a fixed order.
func (a *act) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("act", a.Act)
	if err := a.Actor.MarshalLogObject(enc); err != nil {
		return err
	}
	for _, field := range []struct{ name, value string }{
		{"app", a.App}, {"tenant", a.Tenant}, {"user", a.privacy.Principal(a.User)}, {"environment", a.Environment}, {"kind", a.Kind}, {"reason", a.Reason}, {"for", a.For}, {"node", a.Node},
	} {
		if field.value != "" { // as it was asked for, so that it may be of any length
			enc.AddString(field.name, field.value[:min(len(field.value), maxText)])
		}
	}
	if a.Connection != nil {
		enc.AddInt32("connection", *a.Connection)
	}
	if a.Question != "" {
		enc.AddString("question", a.Question)
	}
	if a.Found != nil {
		enc.AddInt("found", *a.Found)
	}
	if a.Group != 0 {
		enc.AddInt64("group", a.Group)
	}
	if a.Retried != nil {
		if err := enc.AddObject("calls", (*actRetried)(a.Retried)); err != nil {
			return err
		}
	}
	if a.Removed != nil {
		enc.AddInt("removed", *a.Removed)
	}
	if a.All {
		enc.AddBool("all", true)
	}
	if a.Unreadable {
		enc.AddBool("unreadable", true)
	}
	if a.DryRun {
		enc.AddBool("dry_run", true)
	}
	if len(a.Tenants) > 0 {
		if err := enc.AddObject("tenants", (*actTenants)(a)); err != nil {
			return err
		}
	}
	if a.Sessions != nil {
		enc.AddInt("sessions", *a.Sessions)
	}
	enc.AddString("result", a.result())
	if a.Failed != "" {
		enc.AddString("cause", a.Failed[:min(len(a.Failed), maxText)])
	}
	return nil
}

// result is a closed list.
func (a *act) result() string {
	switch {
	case a.Failed != "":
		return "failed"
	case a.Nothing:
		return "nothing_changed"
	case a.Unknown:
		return "unknown_name"
	}
	return "done"
}

// actTenants are the tenants of an act, the first of them by name.
type actTenants act

func (t *actTenants) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddInt("count", len(t.Tenants))
	return enc.AddArray("first", zapcore.ArrayMarshalerFunc(func(list zapcore.ArrayEncoder) error {
		for _, tenant := range t.Tenants[:min(len(t.Tenants), maxTenants)] {
			list.AppendString(tenant)
		}
		return nil
	}))
}

// record writes the audit line of an act, whether or not it succeeded. The errors of package report hold no secret.
func (a API) record(done act, err error) {
	logger := (*zap.Logger)(nil)
	if site := a.Sites.Newest(); site != nil {
		logger, done.privacy = site.Platform().Audit, site.Config().Privacy
	} else {
		logger, done.privacy = a.Audit(), outcome.Privacy{Principals: outcome.Omit}
	}
	if err != nil {
		done.Failed = err.Error()
	}
	if entry := logger.Check(zap.InfoLevel, Message); entry != nil {
		entry.Write(zap.Inline(&done))
	}
}
