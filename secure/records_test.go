package secure

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"wsplice/internal/testutil"
)

func TestMain(m *testing.M) { testutil.Main(m) }

var suites = []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256}

// newRecords returns the two ends of a connection.
func newRecords(t testing.TB, suite uint16) (client, server *records) {
	t.Helper()
	size := hashOf(suite)().Size()
	one, other := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, size)
	client, server = &records{suite: suite}, &records{suite: suite}
	if err := errors.Join(client.out.use(suite, one), server.in.use(suite, one),
		client.in.use(suite, other), server.out.use(suite, other)); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// openAll opens b in parts of at most n bytes, as a loop would.
func openAll(r *records, b []byte, n int) (plain []byte, err error) {
	for part := range slices.Chunk(b, n) {
		lent := slices.Clone(part)
		var dst []byte
		if room := r.room(len(lent)); room > 0 {
			dst = make([]byte, 0, room)
		}
		got, err := r.open(dst, lent)
		plain = append(plain, got...)
		if err != nil {
			return plain, err
		}
	}
	return plain, nil
}

func TestRecordsCarryBytesHoweverTheyAreSplit(t *testing.T) {
	text := make([]byte, 40_000)
	rand.Read(text)
	for _, suite := range suites {
		for _, n := range []int{1, 2, 5, 7, 100, 16 << 10, 1 << 20} {
			client, server := newRecords(t, suite)
			var wire []byte
			for _, size := range []int{1, 0, 100, len(text), 3} {
				wire = client.seal(wire, text[:size])
			}
			wire = client.finish(wire)
			want := slices.Concat(text[:1], text[:100], text, text[:3])
			got, err := openAll(server, wire, n)
			if !errors.Is(err, io.EOF) || !bytes.Equal(got, want) {
				t.Errorf("%s in parts of %d: %d bytes of %d, %v", tls.CipherSuiteName(suite), n, len(got), len(want), err)
			}
			if server.partial != nil {
				t.Errorf("%d bytes of a record are held at the end", len(server.partial))
			}
		}
	}
}

// Both ends change keys, ask each other for it, and change them by themselves when
// a key is spent.
func TestKeyUpdates(t *testing.T) {
	for _, suite := range suites {
		client, server := newRecords(t, suite)
		check := func(from, to *records, text string) {
			t.Helper()
			got, err := openAll(to, from.seal(nil, []byte(text)), 3)
			if err != nil || string(got) != text {
				t.Fatalf("got %q, %v; want %q", got, err, text)
			}
		}
		for range 3 {
			check(client, server, "up")
			client.own = client.sealRecord(client.own, typeHandshake, []byte{messageKeyUpdate, 0, 0, 1, 1})
			if err := client.out.update(suite); err != nil {
				t.Fatal(err)
			}
			check(client, server, "up by new keys")
			if len(server.own) == 0 {
				t.Fatal("no KeyUpdate in answer")
			}
			check(server, client, "down by new keys")
		}
		server.out.seq, client.in.seq = recordsPerKey, recordsPerKey
		check(server, client, "down when the key is spent")
		if server.out.seq != 1 || client.in.seq != 1 {
			t.Errorf("after a key was spent: %d and %d records", server.out.seq, client.in.seq)
		}
	}
}

func TestRecordViolations(t *testing.T) {
	const suite = tls.TLS_AES_128_GCM_SHA256
	sealed := func(kind byte, b string) func(r *records) []byte {
		return func(r *records) []byte { return r.sealRecord(nil, kind, []byte(b)) }
	}
	times := func(n int, f func(r *records) []byte) func(r *records) []byte {
		return func(r *records) (all []byte) {
			for range n {
				all = append(all, f(r)...)
			}
			return all
		}
	}
	for name, test := range map[string]struct {
		wire  func(r *records) []byte
		alert byte
		why   string
	}{
		"plain record": {func(*records) []byte { return []byte{typeAlert, 3, 3, 0, 2, 1, 0} }, alertUnexpectedMessage, "type 21"},
		"record too long": {
			func(*records) []byte { return []byte{typeApplication, 3, 3, 0x41, 0x01} }, alertRecordOverflow, "16641 bytes",
		},
		"content too long": {sealed(typeApplication, strings.Repeat("a", plainMax+1)), alertRecordOverflow, "16385 bytes"},
		"bad MAC": {func(r *records) []byte {
			b := r.seal(nil, []byte("text"))
			b[len(b)-1] ^= 1
			return b
		}, alertBadRecordMAC, "MAC"},
		"record left out": {func(r *records) []byte {
			r.seal(nil, []byte("lost"))
			return r.seal(nil, []byte("text"))
		}, alertBadRecordMAC, "MAC"},
		"record twice": {func(r *records) []byte {
			b := r.seal(nil, []byte("text"))
			return append(b, b...)
		}, alertBadRecordMAC, "MAC"},
		"shorter than a tag":  {func(*records) []byte { return []byte{typeApplication, 3, 3, 0, 1, 0} }, alertBadRecordMAC, "MAC"},
		"nothing but padding": {sealed(0, "\x00\x00"), alertUnexpectedMessage, "without a type"},
		"unknown type":        {sealed(99, "a"), alertUnexpectedMessage, "type 99"},
		"change cipher spec":  {sealed(20, "\x01"), alertUnexpectedMessage, "type 20"},
		"alert too short":     {sealed(typeAlert, "\x01"), alertDecodeError, "wrong size"},
		"client hello":        {sealed(typeHandshake, "\x01\x00\x00\x00"), alertUnexpectedMessage, "type 1 behind"},
		"message too long":    {sealed(typeHandshake, "\x04\x01\x00\x01"), alertDecodeError, "65537 bytes"},
		"odd KeyUpdate":       {sealed(typeHandshake, "\x18\x00\x00\x01\x02"), alertDecodeError, "malformed"},
		"KeyUpdate and more":  {sealed(typeHandshake, "\x18\x00\x00\x01\x00\x04"), alertUnexpectedMessage, "end of its record"},
		"nothing, for ever":   {times(idleRecordsMax+1, sealed(typeApplication, "")), alertUnexpectedMessage, "too many"},
		"warnings, for ever":  {times(idleRecordsMax+1, sealed(typeAlert, "\x01\x5a")), alertUnexpectedMessage, "too many"},
		"data inside a ticket": {func(r *records) []byte {
			return r.seal(r.sealRecord(nil, typeHandshake, []byte{messageSessionTicket, 0, 0, 9}), []byte("text"))
		}, alertUnexpectedMessage, "inside a handshake message"},
	} {
		for _, n := range []int{1, 1 << 20} {
			client, server := newRecords(t, suite)
			_, err := openAll(server, test.wire(client), n)
			var broken *brokenError
			if !errors.As(err, &broken) || broken.alert != test.alert || !strings.Contains(broken.why, test.why) {
				t.Errorf("%s: got %v; want alert %d, %s", name, err, test.alert, test.why)
				continue
			}
			if _, err = openAll(client, server.seal(nil, nil), n); err == nil || errors.As(err, &broken) {
				t.Errorf("%s: the peer got %v; want an alert", name, err)
			}
		}
	}
}

func TestRecordsDoNotAllocate(t *testing.T) {
	for _, suite := range suites {
		client, server := newRecords(t, suite)
		text, wire := make([]byte, 128), make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(100, func() {
			wire = client.seal(wire[:0], text)
			if got, err := server.open(nil, wire); err != nil || len(got) != len(text) {
				t.Fatal(len(got), err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations for a record there", tls.CipherSuiteName(suite), n)
		}
	}
}

// FuzzRecords holds that what comes in parts is what comes at once, and that a
// changed byte is an error.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("hello"), uint16(3), uint16(0), byte(0))
	f.Add(make([]byte, 20_000), uint16(1000), uint16(5), byte(1))
	f.Fuzz(func(t *testing.T, text []byte, part, at uint16, change byte) {
		const suite = tls.TLS_CHACHA20_POLY1305_SHA256
		client, server := newRecords(t, suite)
		_, whole := newRecords(t, suite)
		wire := client.finish(client.seal(client.seal(nil, text), text))
		changed := int(at) % len(wire)
		wire[changed] ^= change
		got, err := openAll(server, wire, int(part)+1)
		want, wantErr := openAll(whole, wire, len(wire))
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) {
			t.Fatalf("in parts %d bytes, %v; at once %d, %v", len(got), err, len(want), wantErr)
		}
		// The version of a record is protected too, although nobody reads it.
		if intact := bytes.Equal(got, append(slices.Clone(text), text...)) && errors.Is(err, io.EOF); intact != (change == 0) {
			t.Errorf("byte %d changed by %#x: intact is %v, %v", changed, change, intact, err)
		}
	})
}
