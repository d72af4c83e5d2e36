package azure

import (
	"github.com/google/uuid"

	"github.com/m3o/platform/internal/sandbox/world"
)

func completeIdentity(r *request, _ *world.Tx, one, old *resource) error {
	if old != nil {
		one.Body["properties"] = old.Body["properties"]
		return nil
	}
	one.Body["properties"] = map[string]any{"tenantId": r.cloud.Account.Tenant, "principalId": one.GUID, "clientId": uuid.NewString()}
	return nil
}

func completeFederation(r *request, tx *world.Tx, one, _ *resource) error {
	p := one.properties()
	if text(p, "issuer") == "" || text(p, "subject") == "" || len(textsOf(p, "audiences")) != 1 {
		return badRequest("BadRequest", "Issuer, subject and exactly one audience are required for federated identity credential %s.", one.Name)
	}
	others, err := children(tx, typeFederation, parentKey(one.ID))
	if err != nil {
		return err
	}
	for _, other := range others {
		same := text(other.Body, "properties", "issuer") == text(p, "issuer") && text(other.Body, "properties", "subject") == text(p, "subject")
		if same && other.key() != one.key() {
			return conflict("Conflict", "Issuer and subject combination already exists for this Managed Identity.")
		}
	}
	if len(others) >= 20 {
		return badRequest("BadRequest", "Too many Federated Identity Credentials are assigned to this identity (the limit is 20).")
	}
	return nil
}

// identityOf is the identity whose service principal has that object id, nil if there is none.
func identityOf(tx *world.Tx, principal string) (*resource, error) {
	all, err := mentioning(tx, typeIdentity, principal)
	for _, one := range all {
		if text(one.Body, "properties", "principalId") == principal {
			return one, nil
		}
	}
	return nil, err
}
