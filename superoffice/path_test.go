package superoffice

import "testing"

func TestOneSpellingOfACallIsCanonicalInAnyCase(t *testing.T) {
	t.Parallel()
	online, onsite := OnlinePaths(), OnsitePaths("/crm7/")
	for path, want := range map[string]Call{
		"/api/v1/Agents/ErpSync/ForceResync":                      {Operation: ForceResync},
		"/API/V1/agents/erpsync/forceresync":                      {Operation: ForceResync},
		"/api/v1/Agents/ErpSync/ForceResync/":                     {Operation: ForceResync},
		"/Cust12345/api/v1/Agents/ErpSync/SyncAll":                {Tenant: "Cust12345", Operation: SyncAll},
		"/cust12345/api/v1/Agents/ErpSync/DeleteConnection":       {Tenant: "Cust12345"},
		"/CUST00001/api/v1/Agents/ErpSync/GetEngineStatus":        {Tenant: "Cust00001", Operation: GetEngineStatus},
		"/api/v1/Agents/ErpSync/ForceResyncExternalNoBlankValues": {Operation: ForceResyncExternalNoBlankValues},
	} {
		if got, verdict := online.Read(path); verdict != Canonical || got != want {
			t.Errorf("%s: %v %v", path, verdict, got)
		}
	}
	if got, verdict := onsite.Read("/CRM7/api/v1/Agents/ErpSync/ForceResync"); verdict != Canonical || got.Operation != ForceResync {
		t.Errorf("onsite: %v %v", verdict, got)
	}
	if _, verdict := onsite.Read("/api/v1/Agents/ErpSync/ForceResync"); verdict != NonCanonical {
		t.Errorf("outside the directory: %v", verdict)
	}
}

func TestEverySpellingThatSomeServerReadsAsACallIsRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/api/v1/Agents/ErpSync", "/api/v1/Agents/ErpSync/", "/api/v1/Agents/ErpSync//ForceResync", "/api/v1/Agents//ErpSync/ForceResync",
		"//api/v1/Agents/ErpSync/ForceResync", "/api/v1/Agents/ErpSync/ForceResync//", "/api/v1/Agents/ErpSync/ForceResync/x",
		"/api/v1/Agents/ErpSync/Force%52esync", "/api/v1/Agents/%45rpSync/ForceResync", "/api/v1/Agents/%2545rpSync/ForceResync",
		"/api/v1/Agents%2fErpSync/ForceResync", "/api/v1/Agents%252fErpSync/ForceResync", "/api/v1/Agents%5cErpSync%5cForceResync",
		"/api/v1/Agents\\ErpSync\\ForceResync", "/api/v1/Agents/./ErpSync/ForceResync", "/api/v1/Agents/x/../ErpSync/ForceResync",
		"/api/v1/Agents/x/%2e%2e/ErpSync/ForceResync", "/api/v1/Agents/ErpSync/../ErpSync/ForceResync", "/api/v1/Agents;x/ErpSync/ForceResync",
		"/api/v1/Agents/ErpSync;a=b/ForceResync", "/(S(abc))/api/v1/Agents/ErpSync/ForceResync", "/api/v1/Agents/(S(abc))/ErpSync/ForceResync",
		"/api/v1/Agents/ErpSync%00/ForceResync", "/api/v1/Agents/ErpSync./ForceResync", "/api/v1/Agents/ErpSync%20/ForceResync",
		"/api/v1/Agents/%u0045rpSync/ForceResync", "/api/v1/Agents%c0%afErpSync/ForceResync", "/api/v1/Agents%e0%80%afErpSync/ForceResync",
		"/api/v1/Agents/%EF%BC%A5rpSync/ForceResync", "/api/v1/Agents/Erp%C5%BFync/ForceResync", "/api/v1/Agents/Erp%C2%ADSync/ForceResync",
		"/api/v1/Agents/ErpSync::$DATA/ForceResync", "/x/api/v1/Agents/ErpSync/ForceResync", "/api/v2/Agents/ErpSync/ForceResync",
		"/api/Agents/ErpSync/ForceResync", "/Cust12345/x/api/v1/Agents/ErpSync/ForceResync", "/CustX/api/v1/Agents/ErpSync/ForceResync",
		"/api/v1/Agents/ErpSync/Force-Resync", "/api/v1/Agents/ErpSync/1", "/api/v1/Agents/ErpSync/ForceResync;x", "/api/v1/Agents/.../ErpSync/../ErpSync/x",
		"/api/v1/Agents/Erp%25252525252525253Sync/%25252525252525252525252541",
	} {
		if _, verdict := OnlinePaths().Read(path); verdict != NonCanonical {
			t.Errorf("%s: %v", path, verdict)
		}
	}
}

func TestWhatIsNotACallIsNotOurs(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/", "", "/index.html", "/api/v1/Contact/1", "/api/v1/Agents/Contact/GetContact", "/docs/erpsync/agents", "/agents-erpsync", "/agents/erpsynced/x",
		"/b%C3%A5t%20tur", "/100%25", "/%zz", "/erpsync/sign-in",
	} {
		if _, verdict := OnlinePaths().Read(path); verdict != NotOurs {
			t.Errorf("%s: %v", path, verdict)
		}
	}
}

func TestALookAlikeOfTheAgentsNameIsRefusedAndASiblingIsNot(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/api/v1/Agents%f0%80%80%afErpSync/ForceResync", "/api/v1/Agents%f8%80%80%80%afErpSync/ForceResync", "/api/v1/Agents%fc%80%80%80%80%afErpSync/ForceResync",
		"/api/v1/Agents∖ErpSync/ForceResync", "/api/v1/Agents%E2%88%96ErpSync/ForceResync",
		"/api/v1/αgents/ErpSync/ForceResync", "/api/v1/Agents/ĘrpSync/ForceResync", "/api/v1/Agentš/ErpSync/ForceResync",
		"/api/v1/Ağents/ErpSync/ForceResync", "/api/v1/Aɡents/ErpSync/ForceResync", "/api/v1/Agents/ErpSУnc/ForceResync",
		"/api/v1/Agents/%C4%98rpS%D0%A3nc/ForceResync", "/api/v1/Agents/%f0%80%81%85rpSync/ForceResync",
		"/api/v1/Agents%25f0%2580%2580%25afErpSync/ForceResync",
	} {
		if _, verdict := OnlinePaths().Read(path); verdict != NonCanonical {
			t.Errorf("%s: %v", path, verdict)
		}
	}
	for _, path := range []string{"/отчёты/проекты", "/agents/προϊόντα", "/agents/erp-översikt", "/αααααα/ααααααα", "/agenter/ærpsynk", "/%ff%fe/%ff", "/agents%E2%88%96ærlig"} {
		if _, verdict := OnlinePaths().Read(path); verdict != NotOurs {
			t.Errorf("%s: %v", path, verdict)
		}
	}
}

func FuzzPath(f *testing.F) {
	f.Add("/api/v1/Agents/ErpSync/ForceResync")
	f.Add("/api/v1/Agents%252fErpSync/..%5c(S(x))/ForceResync")
	f.Fuzz(func(t *testing.T, path string) {
		call, verdict := OnlinePaths().Read(path)
		if verdict != Canonical && call != (Call{}) {
			t.Fatal("told of a call in a path that is not canonical")
		}
	})
}

func BenchmarkPathNotOurs(b *testing.B) {
	paths := OnlinePaths()
	b.ReportAllocs()
	for b.Loop() {
		if _, verdict := paths.Read("/assets/application.3f9a1c.js"); verdict != NotOurs {
			b.Fatal()
		}
	}
}
