package handshake

import (
	"strings"
	"testing"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws/wsflate"
)

const (
	taken  = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	window = taken + "; server_max_window_bits=15"
)

// deflateOffers are by their answers: those of RFC 7692 section 7.1, of browsers and
// libraries, and wrong ones.
var deflateOffers = map[string][]string{
	taken: {
		"permessage-deflate",
		"permessage-deflate; client_max_window_bits", // Chromium, Firefox
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover", // gorilla
		"permessage-deflate;client_max_window_bits=10",
		"permessage-deflate ; client_max_window_bits = \"15\"",
		"foo, permessage-deflate",
		"permessage-deflate; server_max_window_bits=10, permessage-deflate", // RFC 7692 section 5.2
		"permessage-deflate; unknown, permessage-deflate; client_no_context_takeover",
	},
	window: {
		"permessage-deflate; server_max_window_bits=15",
		"permessage-deflate; server_max_window_bits=\"15\"; client_max_window_bits",
	},
	"": {
		"Permessage-Deflate",
		"foo; a=\"x, permessage-deflate\"",
		"permessage-deflate; server_max_window_bits=10",
		"permessage-deflate; server_max_window_bits",
		"permessage-deflate; server_max_window_bits=015",
		"permessage-deflate; server_max_window_bits=16",
		"permessage-deflate; client_max_window_bits=7",
		"permessage-deflate; client_max_window_bits=16",
		"permessage-deflate; client_max_window_bits=08",
		"permessage-deflate; client_max_window_bits=",
		"permessage-deflate; client_max_window_bits=x",
		"permessage-deflate; server_no_context_takeover=1",
		"permessage-deflate; client_no_context_takeover=",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
		"permessage-deflate; client_max_window_bits; client_max_window_bits=15",
		"permessage-deflate; unknown",
		"permessage-deflate;",
		"permessage-deflate; ; client_max_window_bits",
		"x-webkit-deflate-frame",
		"permessage-deflat",
		"",
		",,",
	},
}

func TestSelectDeflate(t *testing.T) {
	for want, offers := range deflateOffers {
		for _, offer := range offers {
			r := mustParse(t, upgradeHead("Sec-WebSocket-Extensions: "+offer))
			if got := r.SelectDeflate(); got != want {
				t.Errorf("%q: %q, want %q", offer, got, want)
			}
			// Spread over fields, with another extension first.
			r = mustParse(t, upgradeHead("Sec-WebSocket-Extensions: foo; bar", "sec-websocket-extensions: "+offer))
			if got := r.SelectDeflate(); got != want {
				t.Errorf("%q in a second field: %q, want %q", offer, got, want)
			}
			if n := testing.AllocsPerRun(20, func() { r.SelectDeflate() }); n != 0 {
				t.Errorf("%q: %v allocations", offer, n)
			}
		}
	}
	if got := mustParse(t, upgradeHead()).SelectDeflate(); got != "" {
		t.Errorf("%q without an offer", got)
	}
}

// Our answers are ones that gobwas/ws takes, and accept what they answer.
func TestDeflateAnswers(t *testing.T) {
	for _, answer := range []string{deflateAnswer, deflateWindow} {
		options, ok := httphead.ParseOptions([]byte(answer), nil)
		var p wsflate.Parameters
		if !ok || len(options) != 1 {
			t.Fatalf("%q: %v", answer, options)
		}
		if err := p.Parse(options[0]); err != nil || !p.ServerNoContextTakeover || !p.ClientNoContextTakeover {
			t.Errorf("%q: %+v, %v", answer, p, err)
		}
	}
}

// FuzzSelectDeflate holds that where we take an offer, gobwas/ws finds one that it
// could take too.
func FuzzSelectDeflate(f *testing.F) {
	for _, offers := range deflateOffers {
		for _, offer := range offers {
			f.Add(offer)
		}
	}
	f.Fuzz(func(t *testing.T, offer string) {
		head := upgradeHead("Sec-WebSocket-Extensions: " + offer)
		if judge([]byte(head)) != nil || strings.ContainsAny(offer, "\r\n") {
			return // no field
		}
		r := mustParse(t, head)
		answer := r.SelectDeflate()
		options, ok := httphead.ParseOptions([]byte(offer), nil)
		if answer == "" || !ok {
			return
		}
		for _, option := range options {
			var p wsflate.Parameters
			if string(option.Name) == wsflate.ExtensionName && p.Parse(option) == nil &&
				(p.ServerMaxWindowBits == 15) == (answer == deflateWindow) {
				return
			}
		}
		t.Fatalf("%q was answered with %q; gobwas/ws finds %v", offer, answer, options)
	})
}
