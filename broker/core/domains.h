/* SPDX-License-Identifier: MPL-2.0 */
/* Failure domains: the tree of location paths ("dc1/rack1/host1"). A path is turned
 * into numbers once; how near two places are is the number of components they share. */
#ifndef BROKER_CORE_DOMAINS_H
#define BROKER_CORE_DOMAINS_H

#include <stddef.h>
#include <stdint.h>

#define DOMAIN_DEPTH 8 /* components looked at; a longer path is cut */

typedef struct domains domains_t;

typedef struct domain_path {
    uint32_t depth;
    uint32_t nodes[DOMAIN_DEPTH]; /* each the number of "all components so far" */
} domain_path_t;

domains_t *domains_new (void);
void domains_destroy (domains_t **self_p);
/* Numbers of LOCATION (empty components are skipped); makes nodes as needed. */
domain_path_t domains_path (domains_t *self, const char *location);
/* As domains_path, but makes nothing: components that no worker has end the path. */
domain_path_t domains_look (const domains_t *self, const char *location);
/* Components that A and B share from the left: 0 when they differ in the first. */
uint32_t domains_common (const domain_path_t *a, const domain_path_t *b);
/* How far apart they are, in bytes: one rather waits for so many than goes there. */
uint64_t domains_distance (const domain_path_t *a, const domain_path_t *b);
/* One more (DELTA 1) or fewer (-1) in each domain of PATH; how many NODE has now. */
void domains_count (domains_t *self, const domain_path_t *path, int delta);
/* Node numbers are below this. */
uint32_t domains_limit (const domains_t *self);
uint32_t domains_size (const domains_t *self, uint32_t node);
/* Domains of LEVEL (0: the first component) that have anybody now. */
uint32_t domains_at (const domains_t *self, uint32_t level);

#endif
