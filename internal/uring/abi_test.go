package uring

import (
	"testing"
	"unsafe"
)

// The kernel refuses, or misreads, what has another size.
func TestLayoutIsTheKernels(t *testing.T) {
	for name, sizes := range map[string][2]uintptr{
		"io_uring_sqe":             {unsafe.Sizeof(SQE{}), 64},
		"io_uring_cqe":             {unsafe.Sizeof(CQE{}), 16},
		"io_uring_params":          {unsafe.Sizeof(params{}), 120},
		"io_uring_getevents_arg":   {unsafe.Sizeof(waitArg{}), 24},
		"io_uring_buf_reg":         {unsafe.Sizeof(bufReg{}), 40},
		"io_uring_buf":             {unsafe.Sizeof(buf{}), 16},
		"io_uring_sync_cancel_reg": {unsafe.Sizeof(syncCancel{}), 64},
		"__kernel_timespec":        {unsafe.Sizeof(timespec{}), 16},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("struct %s has %d bytes, want %d", name, sizes[0], sizes[1])
		}
	}
	for name, offsets := range map[string][2]uintptr{
		"sqe.buf_group": {unsafe.Offsetof(SQE{}.Group), 40},
		"sqe.optlen":    {unsafe.Offsetof(SQE{}.OptLen), 44},
		"sqe.user_data": {unsafe.Offsetof(SQE{}.UserData), 32},
		"sqe.rw_flags":  {unsafe.Offsetof(SQE{}.OpFlags), 28},
		"params.sq_off": {unsafe.Offsetof(params{}.sq), 40},
		"params.cq_off": {unsafe.Offsetof(params{}.cq), 80},
		"buf.tail":      {unsafe.Offsetof(buf{}.tail), 14},
	} {
		if offsets[0] != offsets[1] {
			t.Errorf("%s is at %d, want %d", name, offsets[0], offsets[1])
		}
	}
}
