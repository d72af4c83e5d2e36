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
	return c.Store.RecordCode(ctx, alert.CodeRecord{Contact: in.Contact, N: in.N, Hash: alert.HashCode(Code), Expires: time.Now().Add(alert.CodeLife)})
}
