package splice

import "wsplice/internal/sys"

// A Pipe is a kernel pipe that bytes pass through on their way from one socket
// to another.
type Pipe struct {
	read, write sys.FD
	held        int // bytes inside
}

// Pipes is a loop's stock of pipes. A pipe is attached to a direction only
// while bytes are inside it, so a loop needs few.
type Pipes struct {
	budget  *Budget
	idle    []*Pipe // empty ones
	pause   int     // requests to refuse without asking the kernel
	refused uint64
}

// NewPipes returns an empty stock that draws on budget.
func NewPipes(budget *Budget) *Pipes { return &Pipes{budget: budget} }

// Get returns an empty pipe, or nil when the budget or the kernel has none:
// then the bytes are to be copied.
func (p *Pipes) Get() *Pipe {
	if n := len(p.idle); n > 0 {
		pipe := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return pipe
	}
	if p.pause > 0 {
		p.pause--
		return nil
	}
	pipe := p.open()
	if pipe == nil {
		p.refused++
		p.pause = refusalPause
	}
	return pipe
}

func (p *Pipes) open() *Pipe {
	if !p.budget.takePipe() {
		return nil
	}
	read, write, errno := sys.OpenPipe()
	if errno != 0 {
		p.budget.givePipe()
		return nil
	}
	pipe := &Pipe{read: read, write: write}
	// pipe2(2) succeeds beyond the user's budget too, but with two pages or one;
	// asking for more then fails with EPERM, and what it gave may still do.
	size, errno := read.SetPipeSize(pipeBytes)
	if errno != 0 {
		size, errno = read.PipeSize()
	}
	if errno != 0 || size < pipeBytesMin {
		p.destroy(pipe)
		return nil
	}
	return pipe
}

// Put takes a pipe back. One that still holds bytes is closed: they would come
// out in the next tunnel's stream.
func (p *Pipes) Put(pipe *Pipe) {
	if pipe.held != 0 || len(p.idle) >= idlePipesMax {
		p.destroy(pipe)
		return
	}
	p.idle = append(p.idle, pipe)
}

// Trim closes the idle pipes, so that their descriptors can serve tunnels.
func (p *Pipes) Trim() {
	for i, pipe := range p.idle {
		p.destroy(pipe)
		p.idle[i] = nil
	}
	p.idle = p.idle[:0]
}

// Refused returns how often the kernel or the budget had no pipe.
func (p *Pipes) Refused() uint64 { return p.refused }

func (p *Pipes) destroy(pipe *Pipe) {
	pipe.read.Close()
	pipe.write.Close()
	p.budget.givePipe()
}
