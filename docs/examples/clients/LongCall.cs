// A long resync with .NET's HttpClient: it goes on without its connection, so that no time-out on the way matters.
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

string Env(string name) => Environment.GetEnvironmentVariable(name) ?? throw new InvalidOperationException(name + " is not set");
var patience = TimeSpan.FromMinutes(25); // the gateway waits 20 minutes for SuperOffice
using var client = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false }) { BaseAddress = new Uri(Env("SITE")), Timeout = TimeSpan.FromSeconds(90) };
client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", Env("TOKEN"));
var body = new { ErpConnectionId = int.Parse(Env("CONNECTION")), InternalKeyIds = Env("KEYS").Split(',').Select(int.Parse).ToArray() };
var key = Guid.NewGuid().ToString(); // before the first try; the same for every one

HttpRequestMessage Post()
{
    var request = new HttpRequestMessage(HttpMethod.Post, $"/{Env("TENANT")}/api/v1/Agents/ErpSync/ForceResync") { Content = JsonContent.Create(body, options: new JsonSerializerOptions()) };
    request.Headers.Add("Idempotency-Key", key);
    request.Headers.Add("Prefer", "respond-async, wait=20"); // below the shortest time-out on the way
    return request;
}

HttpRequestMessage Get(Uri call)
{
    var request = new HttpRequestMessage(HttpMethod.Get, call);
    request.Headers.Add("Prefer", "wait=20");
    return request;
}

// Null: none of the gateway's answers arrived, and the call goes on all the same.
async Task<HttpResponseMessage?> Ask(HttpRequestMessage request)
{
    try
    {
        var response = await client.SendAsync(request);
        return response.Headers.Contains("ErpSync-Request-Id") ? response : null;
    }
    catch (Exception e) when (e is HttpRequestException or TaskCanceledException) { return null; }
}

async Task<string> Told(HttpResponseMessage response, bool read)
{
    JsonElement answer = default;
    try { answer = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement; }
    catch (JsonException) { }
    var outcome = response.Headers.TryGetValues("ErpSync-Outcome", out var values) ? values.Single() : null;
    if (answer.ValueKind != JsonValueKind.Object) return outcome ?? "unreadable";
    if (answer.TryGetProperty("reason", out var reason)) // 404 and 401 of a GET: nobody is told of the call any more
        return outcome ?? (reason.GetString() == "outcome_unknown" || read && !response.Headers.Contains("ErpSync-Replayed") ? "unknown" : "refused");
    if (!answer.TryGetProperty("IsOk", out var ok)) return outcome ?? "unreadable";
    return ok.ValueKind == JsonValueKind.False ? "error" : outcome ?? (ok.ValueKind == JsonValueKind.True ? "ok" : "unreadable");
}

async Task<string> Resync()
{
    Uri? call = null;
    for (var until = DateTime.UtcNow + patience; DateTime.UtcNow < until;)
    {
        var response = await Ask(call is null ? Post() : Get(call));
        var retry = response?.Headers.RetryAfter?.Delta;
        if (response is null) await Task.Delay(TimeSpan.FromSeconds(1));
        else if (response.Headers.Contains("ErpSync-Replayed")) return await Told(response, call is not null); // the call's own answer, whatever its status
        else if (response.StatusCode == HttpStatusCode.Accepted && retry is not null) // not done
        {
            if (call is not null && !response.Headers.Contains("Preference-Applied")) await Task.Delay(retry.Value);
            call ??= response.Headers.Location;
        }
        else if ((int)response.StatusCode is 409 or 429 or 503) await Task.Delay(retry ?? TimeSpan.FromSeconds(1));
        else return await Told(response, call is not null);
    }
    return "unknown"; // look in SuperOffice before you send it again
}

var result = await Resync();
Console.WriteLine("outcome: " + result);
return result is "ok" or "info" or "warning" ? 0 : 2;
