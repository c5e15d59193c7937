package pool

import (
	"context"
	"net/netip"
	"testing"
)

var pathClient = netip.MustParseAddr("2001:db8::1:2:3:4")

// lighttpdServers are those that the values below were computed for.
func lighttpdServers(t *testing.T) []Member {
	t.Helper()
	var list []Member
	for _, address := range []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:9000", "/run/chat.sock", "[::1]:8080"} {
		network := "tcp"
		if address[0] == '/' {
			network = "unix"
		}
		s, err := NewServer(context.Background(), network, address, "")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Member{Server: s, Weight: 1})
	}
	return list
}

// The expected values are those of lighttpd's formula (gw_backend.c, gw_host_get
// and djbhash), computed apart from this program.
func TestLighttpdHashes(t *testing.T) {
	u := build(t, Config{Balance: LighttpdHash, Members: lighttpdServers(t)})
	for i, want := range []uint32{0x61a1caeb, 0x61a1cae8, 0x61a1f651, 0xfda177a8, 0x0b868e44} {
		if got := u.keys[i].djb; got != want {
			t.Errorf("server %d: %#x, want %#x", i, got, want)
		}
	}
	three := build(t, Config{Balance: LighttpdHash, Members: lighttpdServers(t)[:3]})
	for _, c := range []struct {
		authority, path string
		hash            uint64
		ofFive, ofThree int
	}{
		{"example.com", "/", 0x253dd5ed, 3, 2},
		{"Example.COM", "/", 0x253dd5ed, 3, 2}, // lighttpd keeps the authority in lower case
		{"example.com", "/chat", 0xfd767bf3, 4, 1},
		{"example.com", "/chat/room/17", 0x546c590a, 3, 2},
		{"a.example.com:8080", "/chat", 0xbad3b246, 1, 1},
		{"b.example.com", "/x", 0x65e0ddd9, 3, 2},
		{"[::1]:80", "/ws", 0xd3e4972b, 4, 2},
		{"example.com", "/ä", 0x7082730a, 3, 1},
	} {
		key := u.KeyOf(&Request{Authority: []byte(c.authority), Path: []byte(c.path)})
		if five, of3 := pickOne(u, key), pickOne(three, key); key.hash != c.hash || five != c.ofFive || of3 != c.ofThree {
			t.Errorf("%s %s: %#x, servers %d and %d; want %#x, %d and %d",
				c.authority, c.path, key.hash, five, of3, c.hash, c.ofFive, c.ofThree)
		}
	}
}

func TestLighttpdSticky(t *testing.T) {
	u := build(t, Config{Balance: LighttpdSticky, Members: lighttpdServers(t)})
	three := build(t, Config{Balance: LighttpdSticky, Members: lighttpdServers(t)[:3]})
	for _, c := range []struct {
		client          string
		hash            uint64
		ofFive, ofThree int
	}{
		{"192.0.2.1", 0x7c5f14a2, 3, 2},
		{"192.0.2.2", 0x7c5f14a1, 3, 2},
		{"192.0.2.77", 0x841a913, 3, 1},
		{"10.1.2.3", 0x61d7167a, 3, 2},
		{"2001:db8::1", 0xd9d865f3, 4, 1},
		{"2001:db8::2:1", 0xb1899d3b, 2, 2},
		{"::1", 0xb8691d4, 3, 2},
	} {
		key := u.KeyOf(&Request{Client: netip.MustParseAddr(c.client)})
		if five, of3 := pickOne(u, key), pickOne(three, key); key.hash != c.hash || five != c.ofFive || of3 != c.ofThree {
			t.Errorf("%s: %#x, servers %d and %d; want %#x, %d and %d", c.client, key.hash, five, of3, c.hash, c.ofFive, c.ofThree)
		}
	}
}

// Keys are for what the balance goes by, and for nothing else.
func TestKeysDependOnWhatTheyShould(t *testing.T) {
	base := Request{Authority: []byte("a.test"), Path: []byte("/x"), Client: netip.MustParseAddr("192.0.2.1")}
	authority, path, client := base, base, base
	authority.Authority, path.Path, client.Client = []byte("b.test"), []byte("/y"), netip.MustParseAddr("192.0.2.2")
	for _, c := range []struct {
		balance                 Balance
		authority, path, client bool
	}{
		{Hash, true, true, false},
		{LighttpdHash, true, true, false},
		{Sticky, false, false, true},
		{LighttpdSticky, false, false, true},
		{LeastConnection, false, false, false},
		{RoundRobin, false, false, false},
	} {
		u := equal(t, c.balance, 2)
		key := u.KeyOf(&base)
		for name, other := range map[string]struct {
			request Request
			differs bool
		}{"authority": {authority, c.authority}, "path": {path, c.path}, "client": {client, c.client}} {
			if got := u.KeyOf(&other.request) != key; got != other.differs {
				t.Errorf("balance %d: another %s makes another key: %v", c.balance, name, got)
			}
		}
	}
}
