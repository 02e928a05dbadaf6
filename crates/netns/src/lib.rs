//! Network namespaces, links, addresses and routes, over netlink.
