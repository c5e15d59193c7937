package loop

// table names sockets by index and generation, so that the kernel's user data
// never holds a Go pointer and a late event cannot reach a later socket.
type table struct {
	entries []entry
	free    []uint32
	stale   uint64 // events dropped because their socket was gone
}

type entry struct {
	socket     *Socket
	generation uint32
}

// add gives s an index and a generation.
func (t *table) add(s *Socket) {
	if n := len(t.free); n > 0 {
		s.id = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		s.id = uint32(len(t.entries))
		t.entries = append(t.entries, entry{})
	}
	e := &t.entries[s.id]
	e.socket = s
	s.generation = e.generation
}

// remove ends the use of s's index: the next one has another generation.
func (t *table) remove(s *Socket) {
	e := &t.entries[s.id]
	e.socket = nil
	e.generation++
	t.free = append(t.free, s.id)
}

// token is what the kernel gets to hold for s.
func (s *Socket) token() uint64 { return uint64(s.id) | uint64(s.generation)<<32 }

// find returns the socket of a token, or nil and counts a stale one.
func (t *table) find(token uint64) *Socket {
	id, generation := uint32(token), uint32(token>>32)
	if int(id) < len(t.entries) {
		if e := &t.entries[id]; e.socket != nil && e.generation == generation {
			return e.socket
		}
	}
	t.stale++
	return nil
}

// open returns how many sockets are in use.
func (t *table) open() int { return len(t.entries) - len(t.free) }
