package answer_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/m3o/platform/internal/answer"
)

func TestABookKeepsTheLastAnswers(t *testing.T) {
	var b answer.Book[int]
	if _, found := b.Find("x"); found {
		t.Error("an empty book has an answer")
	}
	for i := range answer.Limit + 7 {
		b.Remember(fmt.Sprint(i), i)
	}
	if len(b.ByID) != answer.Limit || len(b.Order) != answer.Limit {
		t.Errorf("it keeps %d answers in an order of %d", len(b.ByID), len(b.Order))
	}
	if _, found := b.Find("6"); found {
		t.Error("the oldest is not forgotten")
	}
	if a, found := b.Find("7"); !found || a != 7 {
		t.Errorf("answer 7 is %d, %t", a, found)
	}
}

func TestRememberingAgainReplaces(t *testing.T) {
	var b answer.Book[string]
	b.Remember("a", "first")
	b.Remember("b", "")
	b.Remember("a", "second")
	if a, _ := b.Find("a"); a != "second" || len(b.Order) != 2 {
		t.Errorf("got %q in an order of %d", a, len(b.Order))
	}
	if _, found := b.Find("b"); !found {
		t.Error("an answer that is empty is not found")
	}
}

func TestABookIsCarriedOver(t *testing.T) {
	var b, back answer.Book[int]
	b.Remember("a", 1)
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	back.Remember("b", 2)
	if a, found := back.Find("a"); !found || a != 1 || len(back.Order) != 2 {
		t.Errorf("carried over as %+v", back)
	}
}
