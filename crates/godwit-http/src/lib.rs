//! HTTP requests and responses over UDT or TCP
