package e2e

import (
	"strings"
	"testing"

	"wsplice/e2e/internal/rig"
)

// An importedConf is a configuration of testdata, the addresses in it that are
// backends, and what is asked of it.
type importedConf struct {
	backends map[string]string // text of the configuration: name of the backend
	probes   []importProbe
}

var importedApache = map[string]importedConf{
	"reference-websocket-only": {
		map[string]string{"ws://echo.websocket.org": "echo", "wss://echo.websocket.org": "secure"}, // which nobody asks
		[]importProbe{
			{opens, "x.test", "/ws2/a?b=c", "echo /a?b=c"},
			{gets, "x.test", "/ws2/a", "echo /a"},
			{opens, "x.test", "/ws2", ""},
			{gets, "x.test", "/", ""},
		},
	},
	"reference-match": {
		map[string]string{"backend.example.com:9080": "b"},
		[]importProbe{
			{opens, "x.test", "/myApp/ws?q=1", "b /myApp/ws?q=1"},
			{gets, "x.test", "/myApp/ws", "b /myApp/ws"},
			{gets, "x.test", "/myApp/other?q=1", "b /myApp/other?q=1"},
		},
	},
	"reference-rewrite": {
		map[string]string{"example.com:9080": "b"},
		[]importProbe{
			{opens, "x.test", "/any/where?q=1", "b /any/where?q=1"},
			{gets, "x.test", "/any/where?q=1", "b /any/where?q=1"},
			{opens, "x.test", "/", "b /"},
			{gets, "x.test", "/a%20b", "b /a%20b"},
		},
	},
	"reference-pair": {
		map[string]string{"backend.example.com:9080": "b"},
		[]importProbe{{opens, "x.test", "/a?b", "b /a?b"}, {gets, "x.test", "/a?b", "b /a?b"}},
	},
	"reference-upgrade": {
		map[string]string{"backend.example.com:9080": "b"},
		[]importProbe{
			{opens, "x.test", "/none/a", "b /none/a"},
			{opens, "x.test", "/any/a", "b /any/a"},
			{gets, "x.test", "/any/a", "b /any/a"},
			{opens, "x.test", "/chat/a", "b /chat/a"},
			{gets, "x.test", "/chat/a", "b /chat/a"},
			{gets, "x.test", "/list/a", "b /list/a"},
		},
	},
	"reference-async": {
		map[string]string{"backend.example.com:9080": "b"},
		[]importProbe{
			{opens, "x.test", "/ws/a", "b /a"},
			{gets, "x.test", "/ws/a", ""},
			{opens, "x.test", "/slow/a", "b /slow/a"},
			{opens, "x.test", "/c", ""},
		},
	},
	"jupyterhub": {
		map[string]string{"127.0.0.1:8000": "hub"},
		[]importProbe{
			{opens, "hub.example.org", "/user/a/api/kernels/1/channels?session_id=2", "hub /user/a/api/kernels/1/channels?session_id=2"},
			{gets, "hub.example.org", "/hub/login?next=%2Fhub", "hub /hub/login?next=%2Fhub"},
			{gets, "other.test", "/", "hub /"},
		},
	},
	"home-assistant": {
		map[string]string{"127.0.0.1:8123": "home"},
		[]importProbe{
			{opens, "home.example.net", "/api/websocket", "home /api/websocket"},
			{gets, "home.example.net", "/lovelace", "home /lovelace"},
		},
	},
	"code-server": {
		map[string]string{"localhost:8443": "code"},
		[]importProbe{
			{opens, "code.example.com", "/stable-1?r=2", "code /stable-1?r=2"},
			{gets, "code.example.com", "/login", "code /login"},
		},
	},
	"mattermost": {
		map[string]string{"127.0.0.1:8065": "chat"},
		[]importProbe{
			{opens, "chat.example.com", "/api/v4/websocket?x=1", "chat /api/v4/websocket?x=1"},
			{gets, "chat.example.com", "/api/v4/users/me", "chat /api/v4/users/me"},
		},
	},
	"nextcloud-push": {
		map[string]string{"127.0.0.1:7867": "push"},
		[]importProbe{
			{opens, "cloud.example.com", "/push/ws", "push /ws"},
			{gets, "cloud.example.com", "/push/test/cookie", "push /test/cookie"},
			{gets, "cloud.example.com", "/index.php", ""},
		},
	},
	"collabora": {
		map[string]string{"127.0.0.1:9980": "cool"},
		[]importProbe{
			{opens, "office.example.com", "/cool/doc1/ws?x=2", "cool /cool/doc1/ws?x=2"},
			{opens, "office.example.com", "/cool/adminws", "cool /cool/adminws"},
			{gets, "office.example.com", "/cool/download/1", "cool /cool/download/1"},
			{gets, "office.example.com", "/browser/a.js", "cool /browser/a.js"},
			{gets, "office.example.com", "/browserx", ""},
		},
	},
	"onlyoffice": {
		map[string]string{"127.0.0.1:8081": "ds"},
		[]importProbe{
			{opens, "x.test", "/ds-vpath/doc/c/?EIO=4", "ds /doc/c/?EIO=4"},
			{gets, "x.test", "/ds-vpath/web-apps/a", "ds /web-apps/a"},
			{gets, "x.test", "/other", ""},
		},
	},
	"grafana": {
		map[string]string{"localhost:3000": "grafana"},
		[]importProbe{
			{opens, "metrics.example.com", "/grafana/api/live/ws", "grafana /grafana/api/live/ws"},
			{gets, "metrics.example.com", "/grafana/d/1", "grafana /grafana/d/1"},
			{gets, "metrics.example.com", "/", ""},
		},
	},
	"node-red": {
		map[string]string{"localhost:1880": "comms", "127.0.0.1:1880": "flows"},
		[]importProbe{
			{opens, "flows.example.com", "/comms", "comms /comms"},
			{gets, "flows.example.com", "/comms/x", "comms /comms/x"},
			{gets, "flows.example.com", "/red/red.js", "flows /red/red.js"},
		},
	},
	"gotify": {
		map[string]string{"ws://127.0.0.1:8090": "stream", "http://127.0.0.1:8090/ retry=0 timeout=5": "rest"},
		[]importProbe{
			{opens, "push.example.com", "/stream?token=1", "stream /stream?token=1"},
			{gets, "push.example.com", "/message", "rest /message"},
		},
	},
	"uptime-kuma": {
		map[string]string{"localhost:3001": "kuma"},
		[]importProbe{
			{opens, "status.example.com", "/socket.io/?EIO=4", "kuma /socket.io/?EIO=4"}, {gets, "status.example.com", "/", "kuma /"},
		},
	},
	"vaultwarden": {
		map[string]string{"127.0.0.1:8200": "rest", "127.0.0.1:3012": "hub"},
		[]importProbe{
			{opens, "vault.example.com", "/notifications/hub?a=b", "hub /notifications/hub?a=b"},
			{gets, "vault.example.com", "/notifications/hub", "hub /notifications/hub"},
			{gets, "vault.example.com", "/notifications/hub/negotiate", "rest /notifications/hub/negotiate"},
			{opens, "vault.example.com", "/other", "rest /other"},
			{gets, "vault.example.com", "/api", "rest /api"},
			{gets, "vault.example.com", "/admin/users", ""},
			{opens, "vault.example.com", "/admin", ""},
		},
	},
	"guacamole": {
		map[string]string{"127.0.0.1:8280": "guac"},
		[]importProbe{
			{opens, "desk.example.com", "/guacamole/websocket-tunnel?a=1", "guac /guacamole/websocket-tunnel?a=1"},
			{gets, "desk.example.com", "/guacamole/", "guac /guacamole/"},
			{gets, "desk.example.com", "/", ""},
		},
	},
	"rocket-chat": {
		map[string]string{"localhost:3333": "rocket"},
		[]importProbe{
			{opens, "talk.example.com", "/websocket", "rocket /websocket"},
			{gets, "talk.example.com", "/home", "rocket /home"},
		},
	},
	"socket-io": {
		map[string]string{"ws://localhost:3456": "ws", "http://localhost:3456": "rest"},
		[]importProbe{
			{opens, "live.example.com", "/socket.io/?transport=websocket", "ws /socket.io/?transport=websocket"},
			{gets, "live.example.com", "/socket.io/?transport=polling", "rest /socket.io/?transport=polling"},
			{gets, "live.example.com", "/a", "rest /a"},
		},
	},
	"ttyd": {
		map[string]string{"127.0.0.1:7681": "tty"},
		[]importProbe{
			{opens, "shell.example.com", "/term/ws", "tty /ws"},
			{gets, "shell.example.com", "/term/token", "tty /token"},
			{gets, "shell.example.com", "/", ""},
		},
	},
	"hosts": {
		map[string]string{"127.0.0.1:9001": "www", "127.0.0.1:9002": "chat", "127.0.0.1:9003": "app"},
		[]importProbe{
			{opens, "www.example.com", "/ws/a", "www /ws/a"},
			{opens, "nobody.test", "/ws/a", "www /ws/a"},
			{opens, "chat.example.com", "/ws/a", "chat /a"},
			{opens, "a.chat.example.com", "/ws/a", "chat /a"},
			{gets, "talk.example.com", "/ws/a", "chat /a"},
			{gets, "chat.example.com", "/ws", ""},
			{gets, "chat.example.com", "/other", ""},
			{gets, "app.example.com", "/ws/a", "app /ws/a"},
			{gets, "APP.example.com", "/", "app /"},
			{gets, "www.example.com", "/", ""},
		},
	},
	"order": {
		map[string]string{
			"127.0.0.1:9001": "main", "127.0.0.1:9002": "pass", "127.0.0.1:9003": "section",
			"127.0.0.1:9004": "rule", "127.0.0.1:9005": "match",
		},
		[]importProbe{
			{gets, "x.test", "/a/b", "main /first/b"},
			{gets, "x.test", "/ab", ""},
			{gets, "x.test", "/c/d/e", "pass /inner/e"},
			{gets, "x.test", "/c/de", "pass /outer/de"},
			{gets, "x.test", "/l/x?y", "section /one/x?y"},
			{gets, "x.test", "/l/in/x", "section /two/x"},
			{gets, "x.test", "/m/in/x", "section /four/in/x"},
			{gets, "x.test", "/n/abc/x", "section /five/abc"},
			{gets, "x.test", "/c/no/x", ""},
			{gets, "x.test", "/l/rule/x?y=1", "rule /x?y=1"},
			{gets, "x.test", "/a/fixed?y=1", "rule /fixed?y=1"},
			{gets, "x.test", "/c/secret", ""},
			{gets, "x.test", "/z/a.gif?s=1", "match /z/a.gif?s=1"},
			{gets, "x.test", "/user/ann/a/b?s=1", "match /a/b/of/ann?s=1"},
			{opens, "x.test", "/c/x", "as HTTP: pass /outer/x"},
		},
	},
	"balancer": {
		map[string]string{
			"10.0.0.1:9000": "chat", "10.0.0.2:9000": "chat", "10.0.0.3:9000": "chat",
			"10.0.1.1:8080": "app", "10.0.1.2:8080": "app", "unix:/run/app.sock|http://localhost": "app",
		},
		[]importProbe{
			{opens, "x.test", "/chat/room?a=1", "chat /chat/room?a=1"},
			{gets, "x.test", "/chat/room", "chat /chat/room"},
			{gets, "x.test", "/app/a", "app /app/a"},
			{opens, "x.test", "/app/live", "app /app/live"},
			{gets, "x.test", "/b?c", "app /app/b?c"},
			{gets, "x.test", "/balancer-manager", ""},
		},
	},
}

// strict are handshakes that Apache passes on and wsplice refuses: rows T2, T7
// and T8 of the table of hostile handshakes.
var strict = map[string]struct {
	old, replacement string
	status           int
}{
	"T2, another version": {"Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 1777", 426},
	"T7, no key":          {"Sec-WebSocket-Key: " + rig.Key + "\r\n", "", 400},
	"T8, another method":  {"GET ", "POST ", 400},
}

// TestImportedApacheIsStricter holds the differences that are meant: what
// Apache lets through to a backend ends at wsplice.
func TestImportedApacheIsStricter(t *testing.T) {
	needsWsplice(t)
	needsPlain(t)
	if !rig.HasApache() {
		missing(t, "needs Apache httpd: run bench/install-peers apache2")
	}
	conf := importedApache["reference-rewrite"].conf(t, "reference-rewrite")
	apache, proxy := startApache(t, conf), startImported(t, "apache", conf)
	for name, c := range strict {
		t.Run(name, func(t *testing.T) {
			request := strings.Replace(upgradeTo("/a"), c.old, c.replacement, 1)
			client := rig.Dial(t, apache)
			client.Put(request)
			if a := client.Answer(); a.Status != 101 {
				t.Errorf("Apache answers %d; is the difference still one?", a.Status)
			}
			client = rig.Dial(t, proxy)
			client.Put(request)
			if a := client.Answer(); a.Status != c.status {
				t.Errorf("wsplice answers %q, want %d", a.Raw, c.status)
			}
		})
	}
}
