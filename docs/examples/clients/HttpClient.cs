// A service with .NET's HttpClient. Do not add the standard resilience handler to it: that repeats a POST after 5xx. If it has to be there:
// options.Retry.DisableForUnsafeHttpMethods() and time-outs above 20 minutes.
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

string Env(string name) => Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException(name + " is not set");
var patience = TimeSpan.FromMinutes(25); // the gateway waits 20 minutes for SuperOffice; HttpClient gives up after 100 s by default
using var client = new HttpClient { BaseAddress = new Uri(Env("SITE")), Timeout = patience };
client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Env("TOKEN"));
var body = new { ErpConnectionId = int.Parse(Env("CONNECTION")), InternalKeyIds = Env("KEYS").Split(',').Select(int.Parse).ToArray() };

async Task<(HttpResponseMessage Response, JsonElement Body)?> Send(string name, string value)
{
    using var request = new HttpRequestMessage(HttpMethod.Post, $"/{Env("TENANT")}/api/v1/Agents/ErpSync/ForceResync") { Content = JsonContent.Create(body, options: new JsonSerializerOptions()) };
    request.Headers.Add(name, value);
    try
    {
        var response = await client.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        try { return (response, JsonDocument.Parse(text).RootElement); }
        catch (JsonException) { return (response, default); }
    }
    catch (Exception e) when (e is HttpRequestException or TaskCanceledException) { return null; } // the connection broke
}

string? Text(JsonElement e, string name) => e.ValueKind == JsonValueKind.Object && e.TryGetProperty(name, out var v) && v.ValueKind == JsonValueKind.String ? v.GetString() : null;
bool Is(JsonElement e, string name, JsonValueKind kind) => e.ValueKind == JsonValueKind.Object && e.TryGetProperty(name, out var v) && v.ValueKind == kind;

async Task<string> Resync()
{
    var dry = await Send("ErpSync-Dry-Run", "true");
    if (dry is null || !Is(dry.Value.Body, "dry_run", JsonValueKind.True)) return "refused";
    var key = Guid.NewGuid().ToString(); // before the first try; the same for every one
    var again = false;
    for (var until = DateTime.UtcNow + patience; DateTime.UtcNow < until; again = true)
    {
        var answer = await Send("Idempotency-Key", key);
        var reason = answer is null ? null : Text(answer.Value.Body, "reason");
        if (answer is null || again && reason is not null && (int)answer.Value.Response.StatusCode is (409 or 429 or 503))
        {
            await Task.Delay(answer?.Response.Headers.RetryAfter?.Delta ?? TimeSpan.FromSeconds(3));
            continue;
        }
        // Not from the status, since a resync that failed is HTTP 200.
        if (reason is not null) return reason == "outcome_unknown" ? "unknown" : "refused";
        if (Is(answer.Value.Body, "IsOk", JsonValueKind.False)) return "error";
        return answer.Value.Response.Headers.TryGetValues("ErpSync-Outcome", out var outcome) ? outcome.Single() : Is(answer.Value.Body, "IsOk", JsonValueKind.True) ? "ok" : "unreadable";
    }
    return "unknown";
}

var result = await Resync();
Console.WriteLine("outcome: " + result);
return result is "ok" or "info" or "warning" ? 0 : 2;
