// Package spawn runs backends: it starts the processes of a command, hands each
// a listening socket, replaces those that die, and adds and ends some as the
// load asks for.
//
// wsplice opens the listening sockets and keeps them, so that connections wait
// while a process is replaced. The processes are children of a supervisor, a
// second process of the same binary, which ends them all when wsplice ends,
// however that happens: the socket between the two is its lifeline.
//
// The package knows no WebSocket. Of a server of the pool it sees how many
// tunnels are open, and says whether it may be picked. One goroutine owns all
// groups; the package's methods are for one goroutine, too.
package spawn
