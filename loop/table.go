package loop

// table names sockets by index and generation, so that the kernel's user data
// never holds a Go pointer and a late event cannot reach a later socket.
type table struct {
	chunks []*[entriesPerChunk]entry
	used   uint32 // entries ever used
	free   []uint32
	stale  uint64 // events dropped because their socket was gone
}

// entriesPerChunk is by how much the table grows: moving a large one to a
// larger place would cost its size again until the collector comes.
const entriesPerChunk = 512

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
		s.id = t.used
		if t.used++; s.id%entriesPerChunk == 0 {
			t.chunks = append(t.chunks, new([entriesPerChunk]entry))
		}
	}
	e := t.at(s.id)
	e.socket = s
	s.generation = e.generation
}

// remove ends the use of s's index: the next one has another generation.
func (t *table) remove(s *Socket) {
	e := t.at(s.id)
	e.socket = nil
	e.generation++
	t.free = append(t.free, s.id)
}

// token is what the kernel gets to hold for s.
func (s *Socket) token() uint64 { return uint64(s.id) | uint64(s.generation)<<32 }

// find returns the socket that an event's token names, or nil and counts the
// event as stale.
func (t *table) find(token uint64) *Socket {
	s := t.lookUp(token)
	if s == nil {
		t.stale++
	}
	return s
}

// lookUp returns the socket of a token, or nil if that is gone.
func (t *table) lookUp(token uint64) *Socket {
	id, generation := uint32(token), uint32(token>>32)
	if id < t.used {
		if e := t.at(id); e.socket != nil && e.generation == generation {
			return e.socket
		}
	}
	return nil
}

// open returns how many sockets are in use.
func (t *table) open() int { return int(t.used) - len(t.free) }

func (t *table) at(id uint32) *entry { return &t.chunks[id/entriesPerChunk][id%entriesPerChunk] }
