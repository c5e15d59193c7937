package route

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A Table finds the routes that match a request, in the order of their
// patterns. It is immutable.
//
// Prefixes are in a tree with a step for each segment, so the search looks at
// each byte of a path once, however many routes there are. Where a prefix
// ends, its routes are listed by host. The lists that a request meets are
// merged by the lowest index; expressions, suffixes and header conditions are
// tried when their turn comes, so none after the first match is.
type Table struct {
	patterns []Pattern
	suffixes []string // decoded
	root     node
	scanned  bucket // expressions and suffixes

	// Hosts have numbers: names, and what follows the star of wildcards.
	names        map[string]int32
	wildcards    map[string]int32
	wildcardsMax int // bytes of the longest
}

// A node is a segment of prefixes.
type node struct {
	children map[string]*node
	here     bucket // prefixes that end with the segment, like /ws
	below    bucket // prefixes that end with a slash behind it, like /ws/
}

// A bucket holds ascending indices of routes, by host.
type bucket struct {
	any    []int32
	byHost map[int32][]int32
}

// Compile returns the table of the patterns, or the index of the pattern that
// is wrong in an error that wraps ErrPath, ErrPrefix, ErrHost or ErrHeader.
func Compile(patterns []Pattern) (*Table, error) {
	t := &Table{
		patterns:  slices.Clone(patterns),
		suffixes:  make([]string, len(patterns)),
		names:     make(map[string]int32),
		wildcards: make(map[string]int32),
	}
	for i := range patterns {
		p := &patterns[i]
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("route %d: %w", i, err)
		}
		t.suffixes[i] = decode(p.Suffix)
		b := &t.scanned
		if p.Prefix != "" {
			b = t.root.find(decode(p.Prefix))
		}
		t.enter(b, int32(i), p.Hosts)
	}
	return t, nil
}

// find returns the bucket of a decoded prefix, made if it was not there.
func (n *node) find(prefix string) *bucket {
	rest := prefix[1:]
	for rest != "" {
		segment, after, slash := strings.Cut(rest, "/")
		child := n.children[segment]
		if child == nil {
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			child = new(node)
			n.children[segment] = child
		}
		if n = child; !slash {
			return &n.here
		}
		rest = after
	}
	return &n.below
}

// enter adds route i, the highest yet, to b.
func (t *Table) enter(b *bucket, i int32, hosts []string) {
	if len(hosts) == 0 {
		b.any = append(b.any, i)
		return
	}
	if b.byHost == nil {
		b.byHost = make(map[int32][]int32)
	}
	for _, host := range hosts {
		name, numbers := strings.ToLower(strings.TrimSuffix(host, ".")), t.names
		if rest, wild := strings.CutPrefix(name, "*"); wild {
			name, numbers = rest, t.wildcards
			t.wildcardsMax = max(t.wildcardsMax, len(name))
		}
		id, known := numbers[name]
		if !known {
			id = int32(len(t.names) + len(t.wildcards))
			numbers[name] = id
		}
		if list := b.byHost[id]; len(list) == 0 || list[len(list)-1] != i {
			b.byHost[id] = append(list, i)
		}
	}
}

// First returns the first route that matches r, or -1, and sets s to r. It
// does not allocate, but a regular expression of Go may.
func (t *Table) First(s *Subject, r Request) int {
	s.Set(r)
	s.ids = t.appendHosts(s.ids[:0], s.host)
	s.lists = s.lists[:0]
	s.meet(&t.scanned)
	path := s.decoded
	if len(path) == 0 || path[0] != '/' {
		return t.Next(s)
	}
	n := &t.root
	for slash := true; slash; {
		s.meet(&n.below)
		var segment []byte
		path = path[1:]
		end := bytes.IndexByte(path, '/')
		if slash = end >= 0; slash {
			segment, path = path[:end], path[end:]
		} else {
			segment = path
		}
		if n = n.children[string(segment)]; n == nil {
			break
		}
		s.meet(&n.here)
	}
	return t.Next(s)
}

// Next returns the next route that matches the request that s was set to by
// First, or -1.
func (t *Table) Next(s *Subject) int {
	for {
		i := s.lowest()
		if i < 0 {
			return -1
		}
		if t.matches(s, i) {
			return i
		}
	}
}

// matches reports whether route i, whose prefix and host match, does.
func (t *Table) matches(s *Subject, i int) bool {
	p := &t.patterns[i]
	switch suffix := t.suffixes[i]; {
	case p.Regexp != nil:
		if !p.Regexp.Match(s.decoded) {
			return false
		}
	case len(s.decoded) < len(suffix) || string(s.decoded[len(s.decoded)-len(suffix):]) != suffix:
		return false
	}
	return p.headersMatch(s)
}

// appendHosts appends the numbers that the table has for host.
func (t *Table) appendHosts(ids []int32, host []byte) []int32 {
	if id, ok := t.names[string(host)]; ok {
		ids = append(ids, id)
	}
	if len(t.wildcards) == 0 {
		return ids
	}
	for i := max(1, len(host)-t.wildcardsMax); i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		if id, ok := t.wildcards[string(host[i:])]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// meet takes the lists of b that are for the host.
func (s *Subject) meet(b *bucket) {
	if len(b.any) > 0 {
		s.lists = append(s.lists, b.any)
	}
	if len(b.byHost) == 0 {
		return
	}
	for _, id := range s.ids {
		if list := b.byHost[id]; len(list) > 0 {
			s.lists = append(s.lists, list)
		}
	}
}

// lowest takes the lowest index out of the lists, -1 when they are empty. A
// route with several hosts may be in more than one.
func (s *Subject) lowest() int {
	lowest := int32(-1)
	for _, list := range s.lists {
		if len(list) > 0 && (lowest < 0 || list[0] < lowest) {
			lowest = list[0]
		}
	}
	for i, list := range s.lists {
		if len(list) > 0 && list[0] == lowest {
			s.lists[i] = list[1:]
		}
	}
	return int(lowest)
}
