package handshake

// Refusals of a malformed request head (RFC 9112 sections 2 to 6).
var (
	RefusalEmptyLine = &Refusal{
		Status: 400, Reason: "empty_line",
		Detail: "The request begins with an empty line; begin with the request line.",
	}
	RefusalLineEnding = &Refusal{
		Status: 400, Reason: "line_ending",
		Detail: "A line of the request ends in a bare CR or LF; end every line with CRLF.",
	}
	RefusalControlByte = &Refusal{
		Status: 400, Reason: "control_byte",
		Detail: "The request head contains a control byte; this port speaks plain HTTP/1.1.",
	}
	RefusalHeadIncomplete = &Refusal{
		Status: 400, Reason: "head_incomplete",
		Detail: "The request head does not end in exactly one empty line.",
	}
	RefusalRequestLine = &Refusal{
		Status: 400, Reason: "bad_request_line",
		Detail: "The request line is not method, target and version with single spaces between them.",
	}
	RefusalMethod = &Refusal{
		Status: 400, Reason: "bad_method",
		Detail: "The method of the request is not one this server can read.",
	}
	RefusalHTTPVersion = &Refusal{
		Status: 505, Reason: "bad_http_version",
		Detail: "This server speaks HTTP/1.1; the request names another version.",
	}
	RefusalTarget = &Refusal{
		Status: 400, Reason: "bad_target",
		Detail: "The request target contains a byte or an escape that a URL cannot have; percent-encode it.",
	}
	RefusalTargetForm = &Refusal{
		Status: 400, Reason: "bad_target_form",
		Detail: "The request target must be a path that begins with a slash.",
	}
	RefusalTargetHost = &Refusal{
		Status: 400, Reason: "target_not_host",
		Detail: "The request target names another host than the Host field.",
	}
	RefusalPath = &Refusal{
		Status: 400, Reason: "bad_path",
		Detail: "The path climbs above its root, or contains a backslash or an encoded control character.",
	}
	RefusalFieldName = &Refusal{
		Status: 400, Reason: "bad_field_name",
		Detail: "A header line has no valid name directly before its colon.",
	}
	RefusalFold = &Refusal{
		Status: 400, Reason: "folded_line",
		Detail: "A header line begins with white space; line folding is obsolete.",
	}
	RefusalDuplicate = &Refusal{
		Status: 400, Reason: "duplicate_field",
		Detail: "A header field that may appear once only appears twice.",
	}
	RefusalHostMissing = &Refusal{
		Status: 400, Reason: "host_missing",
		Detail: "The request has no Host; HTTP/1.1 requires one.",
	}
	RefusalHost = &Refusal{
		Status: 400, Reason: "bad_host",
		Detail: "The Host of the request is not a host name or address with an optional port.",
	}
	RefusalConnection = &Refusal{
		Status: 400, Reason: "bad_connection",
		Detail: "The Connection field is not a short list of names.",
	}
	RefusalFraming = &Refusal{
		Status: 400, Reason: "bad_framing",
		Detail: "Content-Length and Transfer-Encoding do not say clearly how long the body is.",
	}
	RefusalHeadTooLarge = &Refusal{
		Status: 431, Reason: "head_too_large",
		Detail: "The request head is larger than this server accepts; send fewer or smaller header fields (cookies?).",
	}
	RefusalTooManyFields = &Refusal{
		Status: 431, Reason: "too_many_fields",
		Detail: "The request has more header fields than this server accepts.",
	}
	RefusalProxyHeader = &Refusal{
		Status: 400, Reason: "proxy_header",
		Detail: "This port wants a PROXY protocol header (version 1 or 2) before the request; " +
			"have the load balancer send one, and connect through it.",
	}
	RefusalBodyTimeout = &Refusal{
		Status: 408, Reason: "body_timeout",
		Detail: "The request body stopped coming; try again.",
	}
	RefusalHeadTimeout = &Refusal{
		Status: 408, Reason: "head_timeout",
		Detail: "The request head did not arrive completely in time; try again.",
	}
)

// Refusals of a request that is well-formed but no acceptable upgrade
// (RFC 6455 section 4.2.1).
var (
	RefusalUpgradeRequired = &Refusal{
		Status: 426, Reason: "upgrade_required",
		Header: "Upgrade: websocket\r\n",
		Detail: "This address serves WebSocket connections only; connect with a WebSocket client.",
	}
	RefusalOtherProtocol = &Refusal{
		Status: 426, Reason: "other_protocol",
		Header: "Upgrade: websocket\r\n",
		Detail: "This address upgrades to websocket only, not to the protocol that was asked for.",
	}
	RefusalUpgradeConnection = &Refusal{
		Status: 400, Reason: "upgrade_without_connection",
		Detail: "The request has Upgrade but no Connection: Upgrade; a proxy on the way may have removed it.",
	}
	RefusalUpgradeHTTP10 = &Refusal{
		Status: 400, Reason: "upgrade_http10",
		Detail: "An upgrade needs HTTP/1.1; a proxy on the way may speak HTTP/1.0.",
	}
	RefusalUpgradeMethod = &Refusal{
		Status: 400, Reason: "upgrade_method",
		Detail: "A WebSocket handshake must be a GET.",
	}
	RefusalUpgradeBody = &Refusal{
		Status: 400, Reason: "upgrade_body",
		Detail: "An upgrade request must not have a body.",
	}
	RefusalVersion = &Refusal{
		Status: 426, Reason: "bad_version",
		Header: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
		Detail: "This server speaks WebSocket version 13 (RFC 6455).",
	}
	RefusalVersionMissing = &Refusal{
		Status: 400, Reason: "version_missing",
		Header: "Sec-WebSocket-Version: 13\r\n",
		Detail: "The request has no Sec-WebSocket-Version; it must be 13.",
	}
	RefusalKeyMissing = &Refusal{
		Status: 400, Reason: "key_missing",
		Detail: "The request has no Sec-WebSocket-Key.",
	}
	RefusalKey = &Refusal{
		Status: 400, Reason: "bad_key",
		Detail: "Sec-WebSocket-Key must be 16 bytes in base64.",
	}
	RefusalVerify = &Refusal{
		Status: 400, Reason: "not_rfc6455",
		Detail: "Without the headers that Connection names, this is no WebSocket handshake; " +
			"name only upgrade there.",
	}
	RefusalOriginMissing = &Refusal{
		Status: 400, Reason: "origin_missing",
		Detail: "The request has no Origin; this address is for pages of certain sites.",
	}
	RefusalOriginForbidden = &Refusal{
		Status: 403, Reason: "origin",
		Detail: "Pages of this origin may not connect here.",
	}
)

// Refusals that follow from routing and from our own limits.
var (
	RefusalNotFound = &Refusal{
		Status: 404, Reason: "no_route",
		Detail: "Nothing is served at this address; check host and path.",
	}
	RefusalDenied = &Refusal{
		Status: 403, Reason: "denied",
		Detail: "Access to this address is denied.",
	}
	RefusalDotSegment = &Refusal{
		Status: 400, Reason: "dot_segment",
		Detail: "Rewritten for the backend, the path would have a segment of dots; ask for another path.",
	}
	RefusalTunnelsPerIP = &Refusal{
		Status: 429, Reason: "tunnels_per_ip", Header: "Retry-After: 10\r\n",
		Detail: "Too many connections are open from this address; close some, or wait.",
	}
	RefusalHandshakeRate = &Refusal{
		Status: 429, Reason: "handshake_rate", Header: "Retry-After: 1\r\n",
		Detail: "Too many connection attempts; wait before the next.",
	}
	RefusalTunnelLimit = &Refusal{
		Status: 503, Reason: "tunnel_limit", Header: "Retry-After: 5\r\n",
		Detail: "This server holds as many connections as it may; try again later.",
	}
	RefusalShortage = &Refusal{
		Status: 503, Reason: "shortage", Header: "Retry-After: 2\r\n",
		Detail: "This server is short of ports, descriptors or memory; try again shortly.",
	}
	RefusalDraining = &Refusal{
		Status: 503, Reason: "draining", Header: "Retry-After: 1\r\n",
		Detail: "This server is shutting down; connect again.",
	}
	RefusalNoBackend = &Refusal{
		Status: 503, Reason: "no_backend", Header: "Retry-After: 1\r\n",
		Detail: "No backend can be reached; try again shortly.",
	}
	RefusalBackendTLS = &Refusal{
		Status: 502, Reason: "backend_tls",
		Detail: "The TLS handshake with the backend failed; the log of this server says why.",
	}
	RefusalUpgradeTimeout = &Refusal{
		Status: 504, Reason: "upgrade_timeout",
		Detail: "The backend did not answer in time.",
	}
	RefusalInternal = &Refusal{
		Status: 500, Reason: "internal",
		Detail: "This server failed; the reason is in its log.",
	}
)

// Refusals of a backend's answer: the client sees 502 and which rule failed.
var (
	RefusalBackendClosed = &Refusal{
		Status: 502, Reason: "backend_closed",
		Detail: "The backend closed the connection before it answered.",
	}
	RefusalBadAnswer = &Refusal{
		Status: 502, Reason: "bad_answer",
		Detail: "The backend's answer is not well-formed HTTP/1.1.",
	}
	RefusalAnswerTooLarge = &Refusal{
		Status: 502, Reason: "answer_too_large",
		Detail: "The head of the backend's answer is too large.",
	}
	RefusalAnswerFraming = &Refusal{
		Status: 502, Reason: "answer_framing",
		Detail: "The backend's answer does not say clearly how long its body is.",
	}
	RefusalAnswerStatus = &Refusal{
		Status: 502, Reason: "answer_not_101",
		Detail: "The backend did not switch protocols.",
	}
	RefusalAnswerUnasked = &Refusal{
		Status: 502, Reason: "answer_unasked_101",
		Detail: "The backend switched protocols although nobody had asked it to.",
	}
	RefusalAnswerHTTP10 = &Refusal{
		Status: 502, Reason: "answer_http10",
		Detail: "The backend switched protocols in HTTP/1.0, which cannot be.",
	}
	RefusalAnswerUpgrade = &Refusal{
		Status: 502, Reason: "answer_upgrade",
		Detail: "The backend's 101 has no Upgrade field, or more than one protocol in it.",
	}
	RefusalAnswerProtocol = &Refusal{
		Status: 502, Reason: "answer_protocol",
		Detail: "The backend switched to a protocol that was not asked for.",
	}
	RefusalAnswerConnection = &Refusal{
		Status: 502, Reason: "answer_connection",
		Detail: "The backend's 101 has no Connection: Upgrade.",
	}
	RefusalAnswerAccept = &Refusal{
		Status: 502, Reason: "answer_accept",
		Detail: "The backend's Sec-WebSocket-Accept does not answer the key of the request.",
	}
	RefusalAnswerSubprotocol = &Refusal{
		Status: 502, Reason: "answer_subprotocol",
		Detail: "The backend chose a subprotocol that was not offered.",
	}
	RefusalAnswerExtension = &Refusal{
		Status: 502, Reason: "answer_extension",
		Detail: "The backend chose an extension that was not offered.",
	}
)

// RefusalNotTLS is for a client that speaks plain HTTP where TLS is spoken.
var RefusalNotTLS = &Refusal{
	Status: 400, Reason: "not_tls",
	Detail: "This port speaks TLS; use https:// or wss://.",
}
