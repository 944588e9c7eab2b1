mod ancestor;
mod cache;
mod jobs;
