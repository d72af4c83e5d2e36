package figures

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// WeatherLegend says what the cells of a Weather are.
const WeatherLegend = "load is the 1-minute load average, cpu the time to hash 32 MiB on one core, fsync the median of 9 writes of 4 KiB with fsync"

// Weather is how busy the machine is beside a round: what others do to it moves every figure.
type Weather struct {
	Load       float64
	CPU, Fsync time.Duration
}

// WeatherHeader heads the cells of a Weather.
var WeatherHeader = []string{"load", "cpu ms", "fsync ms"}

// Cells are the weather in a table.
func (w Weather) Cells() []string {
	return []string{fmt.Sprintf("%.1f", w.Load), Millis(w.CPU), Millis(w.Fsync)}
}

// Observe takes the weather; the file that it syncs is in dir.
func Observe(dir string) (Weather, error) {
	w := Weather{Load: loadAverage()}
	block := make([]byte, 1<<20)
	began := time.Now()
	hash := sha256.New()
	for range 32 {
		hash.Write(block)
	}
	w.CPU = time.Since(began)
	file, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return w, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var syncs []time.Duration
	for range 9 {
		began := time.Now()
		if _, err := file.Write(block[:4096]); err != nil {
			return w, err
		}
		if err := file.Sync(); err != nil {
			return w, err
		}
		syncs = append(syncs, time.Since(began))
	}
	w.Fsync = Median(syncs)
	return w, nil
}

func loadAverage() float64 {
	data, _ := os.ReadFile("/proc/loadavg")
	load, _ := strconv.ParseFloat(strings.Fields(string(data) + " 0")[0], 64)
	return load
}
