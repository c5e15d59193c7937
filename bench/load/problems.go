package load

import "sync"

// problems counts errors and keeps the first few distinct texts.
type problems struct {
	mu    sync.Mutex
	n     int64
	texts []string
}

func (p *problems) add(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	text := err.Error()
	for _, t := range p.texts {
		if t == text {
			return
		}
	}
	if len(p.texts) < errorTextsMax {
		p.texts = append(p.texts, text)
	}
}

func (p *problems) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *problems) list() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.texts...)
}
