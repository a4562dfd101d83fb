// reader reads bodies as .NET does and writes what it finds, a line for a line.
//
// In: what ("caller" or "document"), the Content-Type and the body, the last two in base64, with tabs between them.
// Out: for each reader its name, "=" and "error", "null", or connection;keys;actor;external keys, where texts are
// base64, "-" is null and lists have commas.
//
// The formatters are Microsoft's own of ASP.NET Web API, which Mono builds from their source.
extern alias json6;

using System;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Formatting;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Web.Http.ModelBinding;

public class Request {
	public int ErpConnectionId { get; set; }
	public int[] InternalKeyIds { get; set; }
	public string ErpActorType { get; set; }
	public string[] ExternalKeys { get; set; }
}

static class Reader {
	static readonly MediaTypeFormatterCollection contracts = Formatters(false), serializer = Formatters(true);

	static MediaTypeFormatterCollection Formatters(bool xmlSerializer) {
		var all = new MediaTypeFormatterCollection();
		all.XmlFormatter.UseXmlSerializer = xmlSerializer;
		all.JsonFormatter.SupportedMediaTypes.Add(new System.Net.Http.Headers.MediaTypeHeaderValue("application/merge-patch+json"));
		all.JsonFormatter.SupportedMediaTypes.Add(new System.Net.Http.Headers.MediaTypeHeaderValue("application/json-patch+json"));
		all.Add(new JQueryMvcFormUrlEncodedFormatter());
		return all;
	}

	static Request Format(MediaTypeFormatterCollection formatters, string type, byte[] body) {
		var content = new ByteArrayContent(body);
		content.Headers.TryAddWithoutValidation("Content-Type", type);
		return content.ReadAsAsync<Request>(formatters).Result;
	}

	static string Text(string s) { return s == null ? "-" : Convert.ToBase64String(Encoding.UTF8.GetBytes(s)); }

	static string Told(string name, Func<Request> read) {
		try {
			var r = read();
			if (r == null) return name + "=null";
			var keys = r.InternalKeyIds == null ? "-" : string.Join(",", r.InternalKeyIds);
			var external = r.ExternalKeys == null ? "-" : string.Join(",", r.ExternalKeys.Select(Text));
			return name + "=" + r.ErpConnectionId + ";" + keys + ";" + Text(r.ErpActorType) + ";" + external;
		} catch (Exception) {
			return name + "=error";
		}
	}

	static void Main() {
		var output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true };
		for (string line; (line = Console.In.ReadLine()) != null;) {
			var parts = line.Split('\t');
			var type = Encoding.UTF8.GetString(Convert.FromBase64String(parts[1]));
			var body = Convert.FromBase64String(parts[2]);
			var told = Told("webapi", () => Format(contracts, type, body));
			if (parts[0] == "document") {
				told += "\t" + Told("json.net6", () => json6::Newtonsoft.Json.JsonConvert.DeserializeObject<Request>(new UTF8Encoding(false, true).GetString(body)));
				told += "\t" + Told("datacontractjson", () => (Request)new DataContractJsonSerializer(typeof(Request)).ReadObject(new MemoryStream(body)));
			} else {
				told += "\t" + Told("webapi-xmlserializer", () => Format(serializer, type, body));
			}
			output.WriteLine(told);
		}
	}
}
