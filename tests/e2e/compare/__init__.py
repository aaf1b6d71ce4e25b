"""The same requests to a real etcd and to ours, and what their answers differ in."""
