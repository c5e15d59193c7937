package pool

import (
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A Key is what a request is known by where its server follows from that. The
// zero value is nobody's.
type Key struct {
	hash   uint64 // of what the balance wants
	hashed bool
	route  uint16 // that the sticky cookie names; 0 = none
}

// A Request is what keys are made of.
type Request struct {
	Authority []byte // the Host field; case does not matter
	Path      []byte // decoded and normalised
	Client    netip.Addr
	Cookie    []byte // the value of the cookie that CookieName names, or nil
}

// KeyOf returns the key of a request. It does not allocate.
func (u *Upstream) KeyOf(r *Request) (k Key) {
	switch u.balance {
	case Hash:
		h := hashFold(fnvOffset, r.Authority)
		for _, c := range r.Path { // which begins with a slash: no authority does
			h = (h ^ uint64(c)) * fnvPrime
		}
		k.hash, k.hashed = mix(h), true
	case Sticky:
		bytes := r.Client.As16()
		h := uint64(fnvOffset)
		for _, c := range bytes {
			h = (h ^ uint64(c)) * fnvPrime
		}
		k.hash, k.hashed = mix(h), r.Client.IsValid()
	case LighttpdHash:
		h := djb(djbSeed, r.Path)
		for _, c := range r.Authority {
			h = djbStep(h, lower(c))
		}
		k.hash, k.hashed = uint64(h), true
	case LighttpdSticky:
		var text [48]byte // an IPv6 address has at most 39 bytes, and a zone few
		k.hash, k.hashed = uint64(djb(djbSeed, r.Client.AppendTo(text[:0]))), r.Client.IsValid()
	}
	if len(u.routes) > 0 && r.Cookie != nil {
		k.route = u.routeIn(r.Cookie)
	}
	return k
}

// A serverKey is what a server is known by in hashes.
type serverKey struct {
	hash uint64 // of its name
	djb  uint32 // of its host or path, and its port
}

// serverKeys returns the keys of servers. They follow from the names alone, so
// that they are the same in every process and whatever the order; of several
// servers with one name, the second and further ones are told apart by number.
func serverKeys(servers []*Server) []serverKey {
	keys := make([]serverKey, len(servers))
	times := make(map[string]int)
	for i, s := range servers {
		name := s.name
		if n := times[name]; n > 0 {
			name += "#" + strconv.Itoa(n)
		}
		times[s.name]++
		keys[i].hash = mix(hashFold(fnvOffset, []byte(name)))
		host, portText, err := net.SplitHostPort(s.name)
		if path, unix := strings.CutPrefix(s.name, "unix:"); unix || err != nil {
			host, portText = path, "0"
		}
		port, _ := strconv.ParseUint(portText, 10, 16) // checked by lookUp
		keys[i].djb = djb(djbSeed, []byte(host)) ^ uint32(port)
	}
	return keys
}

// rendezvous returns the server with the highest score for a key. Each server
// has a score of its own, so that one which goes away takes no other's keys. A
// score is exponentially distributed with the weight as its rate: so it is the
// least with a probability that is the weight's share (Efraimidis and Spirakis).
func (p *pick) rendezvous(hash uint64) uint8 {
	var best uint8
	least := math.Inf(1)
	for _, i := range p.list[:p.n] {
		h := mix(hash ^ p.u.keys[i].hash)
		share := (float64(h>>11) + 0.5) / (1 << 53) // more than 0 and less than 1
		if score := -math.Log(share) / float64(p.weightOf(p.u.servers[i])); score < least {
			best, least = i, score
		}
	}
	return best
}

// lighttpd returns the server whose hash differs most from a key's, as one
// number; the last one of equals (gw_backend.c, gw_host_get).
func (p *pick) lighttpd(hash uint32) uint8 {
	var best uint8
	var most uint32
	for _, i := range p.list[:p.n] {
		if score := hash ^ p.u.keys[i].djb; score >= most {
			best, most = i, score
		}
	}
	return best
}

// FNV-1a, 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func hashFold(h uint64, text []byte) uint64 {
	for _, c := range text {
		h = (h ^ uint64(lower(c))) * fnvPrime
	}
	return h
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// mix spreads every bit of h over all bits (the finalizer of SplitMix64).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// DJB's second hash, as lighttpd has it: 32 bits.
const djbSeed = 5381

func djbStep(h uint32, c byte) uint32 { return h*33 ^ uint32(c) }

func djb(h uint32, text []byte) uint32 {
	for _, c := range text {
		h = djbStep(h, c)
	}
	return h
}
