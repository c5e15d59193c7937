package splice

import (
	"bytes"
	"runtime"
	"testing"
)

// heap returns how many bytes are in use after everything unused was freed.
func heap() uint64 {
	runtime.GC() // empties pools into their victims
	runtime.GC() // and these
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A sink that takes as much as comes, but never catches up, leaves something
// parked at all times. What it has taken must be given back nevertheless: a
// tunnel may live for days.
func TestParkedMemoryIsBoundedWithASinkThatNeverCatchesUp(t *testing.T) {
	const size, times = 64 << 10, 1000
	var p Pump
	chunk := make([]byte, size)
	p.Park(chunk)
	before := heap()
	for i := range times {
		chunk[0] = byte(i)
		p.Park(chunk)
		b := p.ParkedBytes()
		if len(b) == 0 || len(b) > parkedSendMax {
			t.Fatalf("%d of %d parked bytes offered to a send, want at most %d", len(b), p.Parked(), parkedSendMax)
		}
		p.Unpark(len(b))
	}
	if p.Parked() != size || !bytes.Equal(p.ParkedBytes(), chunk) {
		t.Errorf("%d bytes parked, want the last %d", p.Parked(), size)
	}
	if grown := int64(heap()) - int64(before); grown > 16*size {
		t.Errorf("%d KiB held for %d KiB of parked bytes", grown>>10, p.Parked()>>10)
	}
	p.releaseParked()
}
