/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/flow/send.h"

#include <string.h>

int flow_send (void *socket, const frame_t *frame, zmq_msg_t *body)
{
    uint8_t packed[FRAME_HEADER_MAX];
    size_t len = frame_pack (frame, packed);
    zmq_msg_t header;
    zmq_msg_init_size (&header, len);
    memcpy (zmq_msg_data (&header), packed, len);
    if (zmq_msg_send (&header, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        zmq_msg_close (&header);
        return DFS_EAGAIN;
    }
    return zmq_msg_send (body, socket, ZMQ_DONTWAIT) < 0 ? DFS_EAGAIN : DFS_OK;
}
