package world

// PlanOfPut is how the database goes about Put, a line a step.
func (t *Tx) PlanOfPut() ([]string, error) {
	rows, err := t.tx.Query("EXPLAIN QUERY PLAN "+put, "p", "k", "id", "", "", "{}")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, rows.Err()
}
