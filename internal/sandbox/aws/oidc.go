package aws

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/m3o/platform/internal/sandbox/aws/wire"
	"github.com/m3o/platform/internal/sandbox/world"
)

const byProvider = "OpenIDConnectProviderArn"

var oidcOperations = []operation{
	{name: "CreateOpenIDConnectProvider", takes: "Url ClientIDList ThumbprintList Tags", handle: createOIDC},
	{name: "GetOpenIDConnectProvider", takes: byProvider, handle: getOIDC},
	{name: "ListOpenIDConnectProviders", handle: listOIDC},
	{name: "ListOpenIDConnectProviderTags", takes: byProvider + marker, handle: listOIDCTags},
	{name: "TagOpenIDConnectProvider", takes: byProvider + " Tags", handle: tagOIDC},
	{name: "DeleteOpenIDConnectProvider", takes: byProvider, handle: deleteOIDC},
}

// oidcProvider is an identity provider: whose tokens roles may trust.
type oidcProvider struct {
	ARN         string
	URL         string
	Clients     []string
	Thumbprints []string
	Created     time.Time
	Tags        tags
}

func (o oidcProvider) put(tx *world.Tx) error {
	return tx.Put(ref(kindOIDC, o.ARN), world.Meta{Name: o.URL}, o)
}

func createOIDC(x *exchange) (any, error) {
	if err := x.needs("Url"); err != nil {
		return nil, err
	}
	u, err := url.Parse(x.in.Text("Url"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return nil, refuse("ValidationError", "Invalid Open ID Connect Provider URL")
	}
	where := u.Host + strings.TrimSuffix(u.Path, "/")
	o := oidcProvider{ARN: "arn:aws:iam::" + x.cloud.Account + ":oidc-provider/" + where, URL: where, Clients: x.in.Texts("ClientIDList"),
		Thumbprints: x.in.Texts("ThumbprintList"), Created: x.At.Truncate(time.Second), Tags: readTags(x.in, "Tags")}
	if err := checkIAMTags(o.Tags); err != nil {
		return nil, err
	}
	err = x.commit(func(tx *world.Tx) error {
		known, err := tx.NameOf(ref(kindOIDC, o.ARN))
		if err != nil {
			return err
		}
		if known != "" {
			return refuseAs(409, "EntityAlreadyExists", "Provider with url %s already exists.", u)
		}
		return errors.Join(o.put(tx), x.record(tx, world.Created, kindOIDC, o.ARN, where, o.Tags))
	})
	return wire.Fields{byProvider: o.ARN, "Tags>member": o.Tags.upper()}, err
}

func (x *exchange) oidc(tx *world.Tx) (oidcProvider, error) {
	arn := x.in.Text(byProvider)
	o, err := world.Get[oidcProvider](tx, ref(kindOIDC, arn))
	if isNotFound(err) {
		return o, refuseAs(404, "NoSuchEntity", "OpenIDConnect Provider not found for arn %.300s", arn)
	}
	return o, err
}

func (x *exchange) readOIDC() (o oidcProvider, err error) {
	err = x.view(func(tx *world.Tx) (err error) {
		o, err = x.oidc(tx)
		return err
	})
	return o, err
}

func getOIDC(x *exchange) (any, error) {
	o, err := x.readOIDC()
	return wire.Fields{"Url": o.URL, "ClientIDList>member": o.Clients, "ThumbprintList>member": o.Thumbprints, "CreateDate": o.Created, "Tags>member": o.Tags.upper()}, err
}

func listOIDC(x *exchange) (any, error) {
	rows := []wire.Fields{}
	err := x.view(func(tx *world.Tx) error {
		list, err := world.List[oidcProvider](tx, ref(kindOIDC, ""))
		for _, o := range list {
			rows = append(rows, wire.Fields{"Arn": o.ARN})
		}
		return err
	})
	return wire.Fields{"OpenIDConnectProviderList>member": rows}, err
}

func listOIDCTags(x *exchange) (any, error) {
	o, err := x.readOIDC()
	if err != nil {
		return nil, err
	}
	return listed(x, "Tags", slices.Clone(o.Tags.upper()))
}

func tagOIDC(x *exchange) (any, error) {
	given := readTags(x.in, "Tags")
	if err := checkIAMTags(given); err != nil {
		return nil, err
	}
	return nil, x.commit(func(tx *world.Tx) error {
		o, err := x.oidc(tx)
		if err != nil {
			return err
		}
		for _, one := range given {
			o.Tags = o.Tags.set(one.Key, one.Value)
		}
		return errors.Join(o.put(tx), x.record(tx, world.Updated, kindOIDC, o.ARN, o.URL, o.Tags))
	})
}

// deleteOIDC succeeds for what is gone already, as the real one does.
func deleteOIDC(x *exchange) (any, error) {
	if err := x.needs(byProvider); err != nil {
		return nil, err
	}
	return nil, x.commit(func(tx *world.Tx) error {
		o, err := world.Get[oidcProvider](tx, ref(kindOIDC, x.in.Text(byProvider)))
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.Join(tx.Delete(ref(kindOIDC, o.ARN)), x.record(tx, world.Deleted, kindOIDC, o.ARN, o.URL, o.Tags))
	})
}
