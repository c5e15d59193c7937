package pool

// serversMax bounds the servers of an upstream.
const serversMax = 256

// addressesMax bounds the addresses that a host name may bring; further ones
// are not used.
const addressesMax = 16
