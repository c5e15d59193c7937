package loop

import (
	"testing"

	"wsplice/internal/sys"
)

// One message of 128 bytes through a pair of sockets and back, as a tunnel
// carries it, with the peers' own calls.
func BenchmarkEcho(b *testing.B) {
	for _, engine := range engines {
		b.Run(engine, func(b *testing.B) {
			r := newRig(b, engine)
			client, backend := new(Socket), new(Socket)
			near, rawClient := tcpPair(b)
			far, rawBackend := tcpPair(b)
			for _, fd := range []sys.FD{near, rawClient, far, rawBackend} {
				fd.NoDelay()
			}
			r.Attach(client, near, forwarder{r.Loop, backend})
			r.Attach(backend, far, forwarder{r.Loop, client})
			r.Recv(client)
			r.Recv(backend)
			message := make([]byte, 128)
			pass := func(from, to sys.FD) {
				from.Send(message)
				for got := 0; got < len(message); {
					r.step(0)
					n, _ := to.Recv(message)
					got += max(n, 0)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				pass(rawClient, rawBackend)
				pass(rawBackend, rawClient)
			}
			r.shut(client)
			r.shut(backend)
			rawClient.Close()
			rawBackend.Close()
		})
	}
}

type forwarder struct {
	loop *Loop
	sink *Socket
}

func (f forwarder) Complete(_ *Socket, op *Op, kind Kind) {
	if kind == Recv && op.N > 0 {
		f.loop.Send(f.sink, op.Buf(), true)
	}
}
