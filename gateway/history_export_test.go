package gateway

// MaxCallTime bounds a call with its answer.
const MaxCallTime = maxCallTime
