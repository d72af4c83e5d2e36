package apitest

import (
	"context"
	"time"

	"github.com/m3o/platform/internal/alert"
)

// Code is what every contact is sent.
const Code = "ABCD2345"

// contacts stands for the workflow that has codes sent.
type contacts struct{ *World }

func (c contacts) VerifyContact(ctx context.Context, in alert.VerifyInput) error {
	sent := alert.CodeRecord{Contact: in.Contact, N: in.N, Hash: alert.HashCode(Code), Expires: time.Now().Add(alert.CodeLife)}
	if c.LateCodes == 0 {
		return c.Store.RecordCode(ctx, sent)
	}
	c.background(func(ctx context.Context) {
		time.Sleep(c.LateCodes)
		c.must(c.Store.RecordCode(ctx, sent))
	})
	return nil
}
