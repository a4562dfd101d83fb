package sandbox

// PostLoopback is what a push is posted with.
var PostLoopback = postLoopback
