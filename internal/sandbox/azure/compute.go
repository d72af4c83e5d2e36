package azure

import (
	"time"

	"github.com/m3o/platform/internal/sandbox/world"
)

// completeDisk checks a disk that a caller makes.
func completeDisk(_ *request, _ *world.Tx, one, old *resource) error {
	p := one.properties()
	if text(p, "creationData", "createOption") == "" {
		return badRequest("InvalidParameter", "Required parameter 'creationData.createOption' is missing (null).")
	}
	size, whole := number(p, "diskSizeGB")
	if !whole || size < 1 || size > 32767 {
		return badRequest("InvalidParameter", "The value of parameter diskSizeGB is invalid: it is 1 to 32767.")
	}
	defaults(one.Body, map[string]any{"sku": map[string]any{"name": "Standard_LRS"}})
	defaults(object(one.Body, "sku"), map[string]any{"tier": "Standard"})
	p["diskState"], p["uniqueId"], p["timeCreated"] = "Unattached", one.GUID, one.CreatedAt.Format(time.RFC3339Nano)
	if old != nil {
		p["diskState"] = text(old.properties(), "diskState")
	}
	p["diskSizeBytes"] = float64(size) * (1 << 30)
	return nil
}

// guardDisk protects a disk that a node of a living cluster has.
func guardDisk(tx *world.Tx, one *resource) error {
	if one.ManagedBy == "" {
		return nil
	}
	cluster, err := clusterByGUID(tx, one.ManagedBy)
	if err != nil || cluster == nil {
		return err
	}
	return conflict("OperationNotAllowed", "Disk %s is attached to a node of managed cluster %s.", one.Name, cluster.ID)
}

func completeSnapshot(r *request, tx *world.Tx, one, _ *resource) error {
	p := one.properties()
	source := text(p, "creationData", "sourceResourceId")
	disk, err := find(tx, typeDisk, source)
	if err != nil {
		return err
	}
	if disk == nil {
		return badRequest("InvalidParameter", "The value of parameter 'creationData.sourceResourceId' is invalid: the disk '%s' does not exist.", source)
	}
	p["diskSizeGB"], p["uniqueId"], p["timeCreated"] = disk.properties()["diskSizeGB"], one.GUID, r.At.Format(time.RFC3339Nano)
	defaults(one.Body, map[string]any{"sku": map[string]any{"name": "Standard_LRS", "tier": "Standard"}})
	return nil
}
